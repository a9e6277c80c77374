"""The Raspberry Pi boards that are emulated here, and what each is made of."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One board: what its system says of it, and the processor that QEMU takes for it."""

    name: str
    model: str
    """As ``/proc/device-tree/model`` has it."""
    architecture: str
    """As Debian calls it: ``arm64`` or ``armhf``."""
    cpu: str
    """As QEMU calls it."""
    part: str
    """Of ``/proc/cpuinfo``: runtimes choose their kernels by it."""
    features: str
    revision: str
    khz: int
    memory_kib: int
    """As Linux counts it: without what the graphics take."""
    cores: int = 4

    @property
    def is_64_bit(self) -> bool:
        """Whether its system is; a processor of 64 bits may run one of 32."""
        return self.architecture == "arm64"

    @property
    def machine(self) -> str:
        """As ``uname -m`` and Python packages call it."""
        return "aarch64" if self.is_64_bit else "armv7l"

    @property
    def qemu(self) -> str:
        """The program that runs its programs."""
        return "qemu-aarch64" if self.is_64_bit else "qemu-arm"


_OLD = "fp asimd evtstrm crc32 cpuid"
_NEW = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop "
    "asimddp"
)
_32_BIT = "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm"

_ALL = (
    Board(
        name="pi2",
        model="Raspberry Pi 2 Model B Rev 1.1",
        architecture="armhf",
        cpu="cortex-a7",
        part="0xc07",
        features=_32_BIT,
        revision="a01041",
        khz=900_000,
        memory_kib=944_128,
    ),
    Board(
        name="pi3",
        model="Raspberry Pi 3 Model B Plus Rev 1.3",
        architecture="arm64",
        cpu="cortex-a53",
        part="0xd03",
        features=_OLD,
        revision="a020d3",
        khz=1_400_000,
        memory_kib=931_840,
    ),
    Board(
        name="zero2w",
        model="Raspberry Pi Zero 2 W Rev 1.0",
        architecture="arm64",
        cpu="cortex-a53",
        part="0xd03",
        features=_OLD,
        revision="902120",
        khz=1_000_000,
        memory_kib=426_000,
    ),
    Board(
        name="pi4",
        model="Raspberry Pi 4 Model B Rev 1.4",
        architecture="arm64",
        cpu="cortex-a72",
        part="0xd08",
        features=_OLD,
        revision="c03114",
        khz=1_800_000,
        memory_kib=3_884_000,
    ),
    Board(
        name="pi5",
        model="Raspberry Pi 5 Model B Rev 1.0",
        architecture="arm64",
        cpu="cortex-a76",
        part="0xd0b",
        features=_NEW,
        revision="d04170",
        khz=2_400_000,
        memory_kib=8_245_000,
    ),
)
BOARDS = {board.name: board for board in _ALL}


def find_board(name: str) -> Board:
    """The board of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in BOARDS:
        message = f"board {name!r}: is not emulated here; choose from: {', '.join(BOARDS)}"
        raise UsageError(message)
    return BOARDS[name]
