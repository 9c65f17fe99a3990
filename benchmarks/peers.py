"""What other engines need for the same models, to stand beside our own figures.

TFLite Micro (713b6ed) with CMSIS-NN (011bf32) and MIT's TinyEngine were built with GCC 12.2, run on the same emulated
core and the same input, and priced by m7prof: millions of cycles of one inference. Their RAM is everything the engine
needs but the stack, their code everything but the model's data and the C library. "Best published" are milliseconds
times the clock of real boards, of closed engines: X-CUBE-AI 9.0 and 10.2 and Bosch HALE in MLPerf Tiny's result
repositories, X-CUBE-AI 7.3 in TinyEngine's README.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Peers:
    """Figures as text, since some have a remark; "-" where there is none: the engine does not compile the model, or
    nothing is published."""

    tflm_cycles: str
    tinyengine_cycles: str
    published_cycles: str
    tflm_ram: str
    tinyengine_ram: str
    tflm_code: str
    tinyengine_code: str


NONE = Peers("-", "-", "-", "-", "-", "-", "-")

PEERS = {
    "ad01_int8": Peers("0.457", "0.520 (inexact)", "0.308 (HALE)", "2,580", "3,328", "24,248", "2,208"),
    "pretrainedResnet_quant": Peers("22.57", "wrong", "11.44 (X-CUBE-AI 9.0)", "54,996", "125,184", "47,664", "-"),
    "kws_ref_model": Peers("5.54", "-", "3.17 (X-CUBE-AI 9.0)", "22,820", "-", "49,544", "-"),
    "vww_96_int8": Peers("17.68", "14.13 (wrong)", "6.67 (X-CUBE-AI 9.0)", "100,708", "60,728", "49,544", "12,244"),
    "str_ww_ref_model": Peers("1.57", "-", "1.19 (X-CUBE-AI 10.2)", "16,596", "-", "46,976", "-"),
    "mcunet_vww": Peers(
        "35.97", "32.17 (25.84 inexact)", "27.4 (X-CUBE-AI 7.3)", "219,684", "93,992", "55,208", "30,008"
    ),
    "mcunetv2_large": Peers("633.5", "414.8 (353.1 inexact)", "-", "2,601,988", "1,431,784", "-", "-"),
}
"""By the name of the model's file."""
