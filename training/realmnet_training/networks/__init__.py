"""Everything that can be trained: RealMNet, its parts, and the networks it is compared with."""
