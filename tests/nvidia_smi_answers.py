"""Answers of `nvidia-smi --query-gpu=index,name,memory.total,memory.used,driver_version,compute_cap`, by machine.

Written down in the form of its documentation: no machine with a card was at hand.
"""

RTX_4090 = "0, NVIDIA GeForce RTX 4090, 24564, 312, 570.86.15, 8.9\n"
RTX_3090_BUSY = "0, NVIDIA GeForce RTX 3090, 24576, 9120, 550.90.07, 8.6\n"
H100 = "0, NVIDIA H100 80GB HBM3, 81559, 4, 570.124.06, 9.0\n"
TWO_A100 = "0, NVIDIA A100-SXM4-80GB, 81920, 4, 535.183.01, 8.0\n1, NVIDIA A100-SXM4-80GB, 81920, 4, 535.183.01, 8.0\n"
RTX_4060_TI_16 = "0, NVIDIA GeForce RTX 4060 Ti, 16380, 210, 560.94, 8.9\n"
T4_TOO_OLD = "0, Tesla T4, 15360, 0, 535.183.01, 7.5\n"
MX450_TOO_SMALL = "0, NVIDIA RTX A500 Laptop GPU, 4096, 5, 550.54.14, 8.6\n"
OLD_DRIVER_WITHOUT_CAPABILITY = "0, GeForce GTX 1080, 8119, 100, 440.33.01, [N/A]\n"
FELL_OFF_THE_BUS = "0, NVIDIA GeForce RTX 3090, [GPU is lost], [GPU is lost], 550.90.07, 8.6\n"
DRIVER_MISMATCH = (
    "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 550.90\n"
)
