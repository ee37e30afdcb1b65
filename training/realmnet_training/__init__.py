"""RealMNet as the paper trains it: model, losses, data, fit. The first floor with torch."""
