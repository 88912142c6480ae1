"""Kernel generators, by kind of operation. All write rows of pixels, tile by tile, through an `Epilogue`."""
