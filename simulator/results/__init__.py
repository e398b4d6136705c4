"""From records to tables, summary, account and notes."""
