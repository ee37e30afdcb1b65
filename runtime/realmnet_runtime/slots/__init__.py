"""Bundles in slots on a device: installed, proved, activated, rolled back."""

from realmnet_runtime.slots.pointer import Slot
from realmnet_runtime.slots.proving import ProvenSlot, RunOptions
from realmnet_runtime.slots.store import SlotState, SlotStore

__all__ = ["ProvenSlot", "RunOptions", "Slot", "SlotState", "SlotStore"]
