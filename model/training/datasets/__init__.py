"""Data sets: labels and recordings in Prophesee's and COCO's formats."""
