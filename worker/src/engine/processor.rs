//! The kind of this machine's processor: the inference library chooses its arithmetic by it, and results may differ in their last
//! digits from one kind to another.

use std::fs::File;
use std::io::Read;

/// Where Linux tells of the processors.
const CPUINFO: &str = "/proc/cpuinfo";
/// The first of some hundred processors is told in far less.
const MAX_CPUINFO: u64 = 64 << 10;
/// What names a model, on x86 and on ARM; large matrices are cut to fit the cache.
const NAMES: [&str; 9] = [
    "vendor_id",
    "cpu family",
    "model",
    "cache size",
    "CPU implementer",
    "CPU architecture",
    "CPU variant",
    "CPU part",
    "uarch",
];
/// Beginnings of the extensions that compute; a virtual machine may hide some.
const COMPUTING: [&str; 13] =
    ["sse", "ssse", "avx", "fma", "f16c", "amx", "bmi", "asimd", "sve", "sme", "i8mm", "bf16", "neon"];
/// By which the libraries can be told to do without some of them.
const OVERRIDES: [&str; 5] = [
    "CT2_FORCE_CPU_ISA",
    "CT2_USE_EXPERIMENTAL_PACKED_GEMM",
    "CT2_USE_MKL",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_MAX_CPU_ISA",
];

/// The same on machines that compute alike. Where the system does not tell of its processors: their architecture.
pub(super) fn kind() -> String {
    let mut told = String::new();
    if let Ok(file) = File::open(CPUINFO) {
        // What can't be read is not told.
        drop(file.take(MAX_CPUINFO).read_to_string(&mut told));
    }
    let mut kind = vec![std::env::consts::OS.to_owned(), std::env::consts::ARCH.to_owned()];
    kind.extend(of_first(&told));
    kind.extend(OVERRIDES.iter().filter_map(|name| setting(name)));
    kind.join("\n")
}

/// Whether the library computes each window of a batch as it does alone, bit by bit. With AVX-512 it does; without it, the last
/// rows of a text are rounded otherwise where a longer text is aligned beside it (CTranslate2 4.8, oneDNN 3.14, AMD EPYC with
/// AVX2: word probabilities differed by some 1e-7).
pub(super) fn computes_batches_alike() -> bool {
    #[cfg(target_arch = "x86_64")]
    let able = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    #[cfg(not(target_arch = "x86_64"))]
    let able = false;
    able && OVERRIDES.iter().all(|name| setting(name).is_none())
}

#[expect(clippy::disallowed_methods, reason = "the library reads these itself; they are no settings of ours")]
fn setting(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?;
    Some(format!("{name}={}", value.to_string_lossy()))
}

/// Of the first processor in such a text.
fn of_first(cpuinfo: &str) -> Vec<String> {
    let mut kind = Vec::new();
    for line in cpuinfo.lines().take_while(|line| !line.trim().is_empty()) {
        let Some((name, value)) = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()))
        else {
            continue;
        };
        if NAMES.contains(&name) {
            kind.push(format!("{name}: {value}"));
        } else if matches!(name, "flags" | "Features") {
            let computes = |flag: &&str| COMPUTING.iter().any(|beginning| flag.starts_with(beginning));
            kind.extend(value.split_ascii_whitespace().filter(computes).map(str::to_owned));
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPYC: &str = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n\
                        model name\t: AMD EPYC\ncpu MHz\t\t: 2596.148\n\
                        flags\t\t: fpu vme sse sse2 ssse3 fma avx avx512f avx512_vnni xsave ibrs\n\n\
                        processor\t: 1\nvendor_id\t: GenuineIntel\nflags\t\t: amx_int8\n";

    #[test]
    fn what_computes_otherwise_is_another_kind() {
        let kind = of_first(EPYC);
        assert_eq!(
            kind,
            [
                "vendor_id: AuthenticAMD",
                "cpu family: 25",
                "model: 17",
                "sse",
                "sse2",
                "ssse3",
                "fma",
                "avx",
                "avx512f",
                "avx512_vnni"
            ]
        );
        assert_eq!(of_first(&EPYC.replace("2596.148", "3100.000").replace(" ibrs", "")), kind);
        for (from, to) in [("avx512_vnni ", ""), (": 17", ": 1"), ("AuthenticAMD", "GenuineIntel")] {
            assert_ne!(of_first(&EPYC.replace(from, to)), kind, "{from}");
        }
        let arm = "processor\t: 0\nFeatures\t: fp asimd evtstrm asimddp sve\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n";
        assert_eq!(of_first(arm), ["asimd", "asimddp", "sve", "CPU implementer: 0x41", "CPU part: 0xd40"]);
        assert!(of_first("").is_empty());
    }

    #[test]
    fn this_machine_is_of_some_kind_and_of_the_same_again() {
        assert!(kind().contains(std::env::consts::ARCH));
        assert_eq!(kind(), kind());
    }
}
