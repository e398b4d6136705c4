"""How devices rank: histories, SRM logits, weights and adapters, lists, slates and look-ahead."""
