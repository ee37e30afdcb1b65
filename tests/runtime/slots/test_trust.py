"""A store that trusts keys: it installs, activates, opens and goes back to their bundles alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from realmnet_runtime import Bundle, SlotStore, Trust
from realmnet_runtime.errors import IntegrityError
from realmnet_runtime.signatures.keys import PrivateKey, generate_key_pair, read_private_key
from realmnet_runtime.signatures.signing import sign_bundle
from realmnet_runtime.signatures.trust import ANY_BUNDLE

from ...conftest import need_package

need_package("cryptography", "signature")

Release = Callable[..., Path]


@dataclass(frozen=True)
class Vendor:
    """Who signs, and whose bundles lie in a folder of their own."""

    key: PrivateKey
    folder: Path

    @property
    def trust(self) -> Trust:
        return Trust(keys=(self.key.public,))

    def signed(self, bundle: Path) -> Path:
        copy = Path(shutil.copy(bundle, self.folder))
        sign_bundle(copy, self.key)
        return copy


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> tuple[Vendor, Vendor]:
    def vendor(name: str) -> Vendor:
        folder = tmp_path_factory.mktemp(name)
        generate_key_pair(folder / "private.pem", folder / "public.pem")
        return Vendor(read_private_key(folder / "private.pem"), folder)

    return vendor("ours"), vendor("another")


def roles(store: SlotStore) -> dict[str, str]:
    return {state.role: state.slot.version for state in store.states()}


def store_in(folder: Path, trust: Trust | None = None) -> SlotStore:
    return SlotStore(folder, wait_s=5.0) if trust is None else SlotStore(folder, trust=trust)


def test_signed_bundles_go_the_whole_way(
    release: Release, vendors: tuple[Vendor, Vendor], tmp_path: Path
) -> None:
    ours, _ = vendors
    store = store_in(tmp_path / "store", ours.trust)
    for version in ("1", "2"):
        store.install(ours.signed(release(version)))
        assert store.activate().slot.version == version
        with store.open() as predictor:
            assert predictor.bundle.standing.by == "key"
            assert predictor.bundle.standing.key_id == ours.key.public.id
    assert store.rollback().slot.version == "1"
    assert roles(store) == {"active": "1"}
    with store.open() as predictor:
        assert predictor.bundle.standing.by == "key"


@pytest.mark.parametrize("keyed", [True, False])
def test_what_is_not_signed_or_by_another_is_not_installed(
    keyed: bool, release: Release, vendors: tuple[Vendor, Vendor], tmp_path: Path
) -> None:
    ours, another = vendors
    store = store_in(tmp_path / "store", ours.trust if keyed else None)
    foreign = "none of the 1 trusted keys" if keyed else "no key was given to check it"
    for bundle, says in (
        (release("1"), "it is not signed"),
        (another.signed(release("1")), foreign),
    ):
        with pytest.raises(IntegrityError, match=says) as caught:
            store.install(bundle)
        assert caught.value.exit_code == 5
        assert "\n" not in str(caught.value)
    assert not store.folder.exists()


def test_trust_is_asked_again_when_a_slot_is_activated_and_opened(
    release: Release, vendors: tuple[Vendor, Vendor], tmp_path: Path
) -> None:
    """A key that was taken off the device between the two, or none that is named any more."""
    ours, another = vendors
    folder = tmp_path / "store"
    store = store_in(folder, ours.trust)
    store.install(ours.signed(release("1")))
    store.activate()
    store.install(ours.signed(release("2")))
    for trust in (another.trust, None):
        later = store_in(folder, trust)
        for act in (later.activate, later.open, later.prove):
            with pytest.raises(IntegrityError, match="is signed by"):
                act()
        assert roles(later) == {"active": "1", "candidate": "2"}
    assert store.activate().slot.version == "2"


def test_a_slot_whose_signature_was_taken_away_is_not_activated(
    release: Release, vendors: tuple[Vendor, Vendor], tmp_path: Path
) -> None:
    """Of the same digest, byte for byte the bundle that was installed, but for its signature."""
    ours, _ = vendors
    store = store_in(tmp_path / "store", ours.trust)
    store.install(ours.signed(release("1")))
    (kept,) = (store.folder / "slots").glob("*.realmnet")
    with (
        Bundle.open(kept, trust=ours.trust) as before,
        Bundle.open(shutil.copy(release("1"), kept), trust=ANY_BUNDLE) as after,
    ):
        assert before.digest == after.digest
    with pytest.raises(IntegrityError, match="is not signed"):
        store.activate()
    assert roles(store) == {"candidate": "1"}
    # Installing it again puts the signature back.
    store.install(ours.signed(release("1")))
    assert store.activate().slot.version == "1"


def test_a_rollback_asks_for_trust_too(
    release: Release, vendors: tuple[Vendor, Vendor], tmp_path: Path
) -> None:
    ours, another = vendors
    folder = tmp_path / "store"
    both = Trust(keys=(ours.key.public, another.key.public))
    store = store_in(folder, both)
    for vendor, version in ((another, "1"), (ours, "2")):
        store.install(vendor.signed(release(version)))
        store.activate()
    with pytest.raises(IntegrityError, match="none of the 1 trusted keys"):
        store_in(folder, ours.trust).rollback()
    assert roles(store) == {"active": "2", "previous": "1"}
    with store_in(folder, ours.trust).open() as predictor:
        assert predictor.bundle.standing.key_id == ours.key.public.id
    assert store.rollback().slot.version == "1"


def test_a_store_of_unsigned_bundles_says_so_each_time(release: Release, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    trusting = store_in(folder, Trust(unsigned="allow"))
    trusting.install(release("1"))
    with pytest.raises(IntegrityError, match=r"--allow-unsigned"):
        store_in(folder).activate()
    trusting.activate()
    with pytest.raises(IntegrityError, match=r"--allow-unsigned"):
        store_in(folder).open()
    with trusting.open() as predictor:
        assert predictor.bundle.standing.by == "nobody"
