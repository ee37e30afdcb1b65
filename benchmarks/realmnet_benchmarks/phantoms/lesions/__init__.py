"""The signs of the labels, each painted in a crop and recorded in the truth."""
