"""What the figures of the provisioned account are called: read without what computes them."""

COLUMNS = ("draw", "requests_per_s", "replicas", "usd", "interactions", "usd_per_1k_interactions", "usd_per_month")
"""of `account.parquet`; replicas NaN and with them all dollars where no number meets the objective"""
FIGURES = {
    "requests_per_s": "requests_per_s_peak",
    "replicas": "replicas_provisioned",
    "usd": "usd_provisioned",
    "usd_per_1k_interactions": "usd_provisioned_per_1k_interactions",
    "usd_per_month": "usd_provisioned_per_month",
}
"""figures of a summary's `cost` by the columns of `account.parquet` that resample them"""
ENERGY = ("gpu_joules_provisioned_per_month", "gco2_provisioned_per_month")
"""what the servers of the account draw, idle or not, and a hosted API: unknown where that does not tell; and the carbon
of these and of the phones"""
PROVISIONED = (
    *(f"{name}{end}" for name in FIGURES.values() for end in ("", "_low", "_high")),
    "devices_per_replica",
)
"""the figures of the account in a summary's `cost`"""
