//! The words for a denied request: which kind of policy must allow what, and on what.

use ssm_aws::Denial;

/// The user's own sessions, as a policy names them.
pub(super) const OWN_SESSIONS: &str = "your own sessions, arn:aws:ssm:*:*:session/${aws:userid}-*";

/// What is to be done so that `action` is allowed on `on`.
pub(super) fn cure(denial: &Denial<'_>, action: &str, on: &str) -> String {
    match (denial.denying, denial.silent) {
        (Some(policy), _) => {
            format!("nothing that IAM allows helps against it: the {policy} must not deny {action} on {on}")
        }
        (None, Some(policy)) if policy != "identity-based policy" => {
            format!("the {policy} must allow {action} on {on}")
        }
        _ => format!("IAM must allow {action} on {on}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str =
        "User: arn:aws:sts::111122223333:assumed-role/ops/me is not authorized to perform: ssm:StartSession";

    #[test]
    fn the_kind_of_policy_is_named() {
        for (rest, cure) in [
            ("", "IAM must allow ssm:StartSession on it"),
            (" on resource: i-0", "IAM must allow ssm:StartSession on it"),
            (
                " on resource: i-0 because no identity-based policy allows the ssm:StartSession action",
                "IAM must allow ssm:StartSession on it",
            ),
            (
                " on resource: i-0 because no permissions boundary allows the ssm:StartSession action",
                "the permissions boundary must allow ssm:StartSession on it",
            ),
            (
                " on resource: i-0 because no VPC endpoint policy allows the ssm:StartSession action",
                "the VPC endpoint policy must allow ssm:StartSession on it",
            ),
            (
                " on resource: i-0 with an explicit deny in a service control policy",
                "nothing that IAM allows helps against it: the service control policy must not deny ssm:StartSession on it",
            ),
            (
                " on resource: i-0 with an explicit deny in an identity-based policy: arn:aws:iam::1:policy/x",
                "nothing that IAM allows helps against it: the identity-based policy must not deny ssm:StartSession on it",
            ),
        ] {
            assert_eq!(super::cure(&Denial::read(&format!("{USER}{rest}")), "ssm:StartSession", "it"), cure, "{rest}");
        }
    }
}
