"""Chest CT-angiography slices made here: four classes, two hospitals, any number of patients.

The road inside the package: `chance` draws for a whole batch, `patient` says who lies in the scanner, `thorax`,
`organs` and `vessels` fill the slice with Hounsfield units by means of `shapes`, `findings` adds nodules and emboli,
`scanner` makes the picture, `rendering` does it for many, `cohort` splits and caches.

It is a phantom: good for measuring how models are trained, exported and stolen, not for medicine.
"""

from victim.phantom.cohort import VERSION, phantom, proxy_images
from victim.phantom.rendering import CLASS_NAMES, SLICES_PER_PATIENT, render
from victim.phantom.scanner import Hospital

__all__ = ["CLASS_NAMES", "SLICES_PER_PATIENT", "VERSION", "Hospital", "phantom", "proxy_images", "render"]
