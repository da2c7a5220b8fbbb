"""Other pieces for the same text in every epoch: subword regularisation and BPE-dropout."""

from nmt.training.resampling.resampler import Resampler, make_resampler, make_resamplers

__all__ = ["Resampler", "make_resampler", "make_resamplers"]
