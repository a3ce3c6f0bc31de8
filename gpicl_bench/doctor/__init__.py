"""What works here and what does not: versions, devices, images, the cache, fingerprints, plug-ins."""

from gpicl_bench.doctor.examination import examine
from gpicl_bench.doctor.finding import Finding

__all__ = ["Finding", "examine"]
