//! Versions of agents: up to four numbers with dots between them.

/// The numbers of a dotted version; those that are left out are 0. `None` if it has more than four, or anything else.
pub fn version(text: &str) -> Option<[u32; 4]> {
    let mut version = [0; 4];
    let mut parts = text.split('.');
    for (number, part) in version.iter_mut().zip(parts.by_ref()) {
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(version)
}

/// Whether a version is lower than `limit`. One that cannot be read is not.
pub(super) fn is_before(text: &str, limit: [u32; 4]) -> bool {
    version(text).is_some_and(|version| version < limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(version("3.3.2299.0"), Some([3, 3, 2299, 0]));
        assert!(is_before("2.3.68.0", [2, 3, 672, 0]) && !is_before("2.3.1000", [2, 3, 672, 0]));
        for text in ["", "x", "1.2.3.4.5", "3..1"] {
            assert_eq!(version(text), None, "{text:?}");
            assert!(!is_before(text, [9, 9, 9, 9]));
        }
    }

    #[test]
    fn versions_are_compared_by_number() {
        let limit = [3, 2, 1041, 0];
        for old in ["3.2.1040.9", "2.9.9999.0", "3.2", "1.0.0.0"] {
            assert!(is_before(old, limit), "{old}");
        }
        for new in ["3.2.1041.0", "3.10.0.0", "4", "", "x.y", "3.2.1041.0-beta"] {
            assert!(!is_before(new, limit), "{new}");
        }
    }
}
