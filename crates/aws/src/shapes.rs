//! The shapes of targets' ids and of regions: whether one exists is the service's to say.

/// The longest target that StartSession takes, in characters (protocol §1).
pub const MAX_TARGET_CHARS: usize = 400;

/// Whether a text has the shape of a managed node's id: `i-…` of an EC2 instance, `mi-…` of a hybrid node.
pub fn is_node_id(text: &str) -> bool {
    let Some(digits) = text.strip_prefix("i-").or_else(|| text.strip_prefix("mi-")) else { return false };
    !digits.is_empty() && text.len() <= MAX_TARGET_CHARS && digits.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether a text has the shape of an ECS task as a target: `ecs:cluster_task_runtimeid`. A cluster's name may itself have
/// underscores, so that the parts are counted from the right.
pub fn is_ecs_task(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("ecs:").filter(|_| text.len() <= MAX_TARGET_CHARS) else { return false };
    let mut parts = rest.rsplitn(3, '_');
    let part_count = parts.by_ref().take_while(|part| !part.is_empty()).count();
    part_count == 3 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Whether a label has the shape of a region: letters, one or more words of letters, a number. All regions of all
/// partitions have it (`us-gov-west-1`, `us-isob-east-1`, `eusc-de-east-1`), and few names do.
pub fn is_region(label: &str) -> bool {
    let words: Vec<&str> = label.split('-').collect();
    let [area, middle @ .., number] = words.as_slice() else { return false };
    let letters = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    (2..=4).contains(&area.len())
        && letters(area)
        && (1..=2).contains(&middle.len())
        && middle.iter().all(|word| letters(word))
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_its_shape_and_its_length() {
        for id in ["i-0", "mi-0a1b2c3d4e5f60718", "i-02573cafcfEXAMPLE", &format!("i-{}", "a".repeat(398))] {
            assert!(is_node_id(id), "{id:?}");
        }
        for text in ["", "i-", "I-0", "i-é", "i-0/x", "i-0.x", &format!("i-{}", "a".repeat(399))] {
            assert!(!is_node_id(text), "{text:?}");
        }
        for id in ["ecs:c_t_r", "ecs:my_cluster-1_task_runtime"] {
            assert!(is_ecs_task(id), "{id:?}");
        }
        for text in ["ecs:", "ecs:c_t", "ecs:_t_r", "ecs:c__r", "ecs:c_t_", "ecs:c_t_r r", "c_t_r"] {
            assert!(!is_ecs_task(text), "{text:?}");
        }
        assert!(!is_ecs_task(&format!("ecs:c_t_{}", "r".repeat(400))));
    }

    #[test]
    fn a_region_has_its_shape() {
        for region in ["eu-west-1", "us-gov-west-1", "us-isob-east-1", "eusc-de-east-1", "ap-southeast-12"] {
            assert!(is_region(region), "{region}");
        }
        for text in ["", "eu-west", "EU-WEST-1", "west-1", "frankfurt-am-main-1", "eu--1", "eu-west-123", "eu-west-x"] {
            assert!(!is_region(text), "{text:?}");
        }
    }
}
