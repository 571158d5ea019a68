//! Where a setting comes from, in the words of the command line.

use std::borrow::Cow;

/// What a field of [`Overrides`](ssm_aws::Overrides) is called where a crate names it as the origin of a setting.
const FIELD: &str = "Overrides::";

/// An [`Origin`](ssm_aws::Origin) as the user knows it: the flag in place of the field that it fills, which has its name.
pub(super) fn origin(text: &str) -> Cow<'_, str> {
    match text.strip_prefix(FIELD) {
        Some(field) => Cow::Owned(format!("--{}", field.replace('_', "-"))),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use ssm_aws::Origin;

    use super::*;

    #[test]
    fn overrides_are_flags() {
        for (from, shown) in [
            (Origin::Override("endpoint_url"), "--endpoint-url"),
            (Origin::Override("ca_bundle"), "--ca-bundle"),
            (Origin::Variable("AWS_CA_BUNDLE"), "AWS_CA_BUNDLE"),
            (Origin::Profile { setting: "ca_bundle", profile: "a_b".to_owned() }, "ca_bundle of profile a_b"),
        ] {
            assert_eq!(origin(&from.to_string()), shown);
        }
    }
}
