//! What tells one architecture's calls from another's: the kernel's name for it, its numbers, the width of its arguments.

use oci::runtime::Arch;

use super::table::{ARM_PRIVATE, Column, NONE, Row};

/// The bit that tells an x32 call from an x86_64 one; the two share the kernel's `AUDIT_ARCH_X86_64`.
pub(super) const X32_BIT: u32 = 0x4000_0000;

const X86_64: u32 = Arch::ScmpArchX86_64 as u32;

/// One architecture of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Architecture {
    /// What `seccomp_data.arch` says: `AUDIT_ARCH_*`.
    pub(super) audit: u32,
    /// Whether arguments have 64 bits that count. Where they have 32, only the low word of a value is compared.
    pub(super) wide: bool,
    /// Whether the low word of an argument comes first in `seccomp_data`.
    pub(super) little_endian: bool,
    /// Whether `socketcall` and `ipc` lead to calls that a list may name one by one.
    pub(super) multiplexes: bool,
    /// Whether call 0 is where the kernel leaves calls that it does not know.
    pub(super) parks_unknown_at_zero: bool,
    column: Option<Column>,
}

impl Architecture {
    /// Returns what is known of the architecture; `native` stands for `SCMP_ARCH_NATIVE`.
    pub(super) fn of(arch: Arch, native: Arch) -> Self {
        let arch = if arch == Arch::ScmpArchNative { native } else { arch };
        let column = column(arch);
        let word = arch as u32;
        Self {
            // The specification's names carry the kernel's values, but for x32, which the kernel does not tell apart.
            audit: if arch == Arch::ScmpArchX32 { X86_64 } else { word },
            wide: word & 0x8000_0000 != 0 && column != Some(Column::Mips64n32),
            little_endian: word & 0x4000_0000 != 0,
            multiplexes: matches!(
                column,
                Some(Column::X86 | Column::S390 | Column::S390x | Column::Ppc | Column::Ppc64 | Column::Mips)
            ),
            parks_unknown_at_zero: matches!(column, Some(Column::S390 | Column::S390x)),
            column,
        }
    }

    /// Tells whether the calls are those of x32.
    pub(super) fn is_x32(&self) -> bool {
        self.column == Some(Column::X32)
    }

    /// Returns the number of a call, if the architecture has it.
    pub(super) fn number(&self, row: &Row) -> Option<u32> {
        let number = row.1[self.column? as usize];
        match (number, self.column) {
            (NONE, _) => None,
            (number, Some(Column::X32)) => Some(X32_BIT | u32::from(number)),
            (number, _) if number > ARM_PRIVATE => Some(FIRST_PRIVATE + u32::from(number - ARM_PRIVATE)),
            (number, _) => Some(u32::from(number)),
        }
    }
}

/// Where 32-bit ARM counts its private calls from; they say nothing of how new the list is.
pub(super) const FIRST_PRIVATE: u32 = 0x000f_0000;

fn column(arch: Arch) -> Option<Column> {
    Some(match arch {
        Arch::ScmpArchX86_64 => Column::X86_64,
        Arch::ScmpArchX86 => Column::X86,
        Arch::ScmpArchX32 => Column::X32,
        Arch::ScmpArchAarch64 => Column::Aarch64,
        Arch::ScmpArchArm => Column::Arm,
        Arch::ScmpArchRiscv64 => Column::Riscv64,
        Arch::ScmpArchLoongarch64 => Column::Loongarch64,
        Arch::ScmpArchPpc => Column::Ppc,
        Arch::ScmpArchPpc64 | Arch::ScmpArchPpc64le => Column::Ppc64,
        Arch::ScmpArchS390 => Column::S390,
        Arch::ScmpArchS390x => Column::S390x,
        Arch::ScmpArchMips | Arch::ScmpArchMipsel => Column::Mips,
        Arch::ScmpArchMips64 | Arch::ScmpArchMipsel64 => Column::Mips64,
        Arch::ScmpArchMips64n32 | Arch::ScmpArchMipsel64n32 => Column::Mips64n32,
        Arch::ScmpArchParisc | Arch::ScmpArchParisc64 => Column::Parisc,
        Arch::ScmpArchM68k => Column::M68k,
        // No kernel that Conductor runs on has these beside its own; every call on them gets the default action.
        Arch::ScmpArchSh | Arch::ScmpArchSheb | Arch::ScmpArchNative => return None,
    })
}

/// Returns the architecture that this program was built for.
pub const fn native() -> Arch {
    if cfg!(target_arch = "x86_64") {
        Arch::ScmpArchX86_64
    } else if cfg!(target_arch = "aarch64") {
        Arch::ScmpArchAarch64
    } else if cfg!(target_arch = "x86") {
        Arch::ScmpArchX86
    } else if cfg!(target_arch = "arm") {
        Arch::ScmpArchArm
    } else if cfg!(target_arch = "riscv64") {
        Arch::ScmpArchRiscv64
    } else if cfg!(target_arch = "loongarch64") {
        Arch::ScmpArchLoongarch64
    } else if cfg!(target_arch = "s390x") {
        Arch::ScmpArchS390x
    } else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
        Arch::ScmpArchPpc64le
    } else if cfg!(target_arch = "powerpc64") {
        Arch::ScmpArchPpc64
    } else {
        Arch::ScmpArchNative
    }
}
