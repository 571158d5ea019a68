//! The command `--generate-cli-skeleton`: the AWS CLI's skeletons of StartSession's request and answer, letter for letter.

use super::print::print;
use crate::{cli::Skeleton, diagnostics::Error};

/// StartSession's request, to be filled in.
const INPUT: &str = r#"{
    "Target": "",
    "DocumentName": "",
    "Reason": "",
    "Parameters": {
        "KeyName": [
            ""
        ]
    }
}
"#;

/// What StartSession answers, with the names of the values in their place.
const OUTPUT: &str = r#"{
    "SessionId": "SessionId",
    "TokenValue": "TokenValue",
    "StreamUrl": "StreamUrl"
}
"#;

/// Prints the skeleton that was asked for.
///
/// # Errors
/// A stdout that cannot be written to.
pub async fn skeleton(skeleton: Skeleton) -> Result<(), Error> {
    let text = match skeleton {
        Skeleton::Input => INPUT,
        Skeleton::Output => OUTPUT,
    };
    print(text.to_owned()).await
}
