//! Key Management Service (KMS): the data key of an encrypted session.
//!
//! This module must not know how a session is encrypted, nor what the agent has asked for. The key passes through here
//! and is shown nowhere.

use std::{collections::HashMap, fmt, time::Instant};

use aws_sdk_kms::{Client, config::Builder, operation::generate_data_key::GenerateDataKeyOutput};
use zeroize::Zeroizing;

use super::{
    backoff::Backoff,
    call::Call,
    cause::{first_line, quoted},
    config::Aws,
    error::{ApiError, ApiFailure},
    explain::failed,
    kind::ErrorKind,
    repeat::{Attempts, BACKOFF, repeat},
};

/// The length of a session's data key, in bytes: two keys of AES-256, one for each direction, as the SSM Agent's
/// published code takes them.
pub const DATA_KEY_BYTES: usize = 64;
/// How often GenerateDataKey is sent while the service throttles or fails. KMS keeps no data keys: to ask twice does no
/// harm.
const ATTEMPTS: u32 = 3;

/// The KMS call of one [`Aws`]. Cheap to make and to clone: the API's client is built at the call.
#[derive(Clone, Debug)]
pub struct Kms {
    aws: Aws,
    backoff: Backoff,
}

/// A data key, encrypted and in plain.
pub struct DataKey {
    /// The key as KMS has encrypted it (`CiphertextBlob`). It is no secret: the agent gets it, and has KMS decrypt it.
    pub ciphertext: Vec<u8>,
    /// The key itself. It stays in one place in memory, so that no move leaves a copy behind, and is wiped when it is
    /// dropped.
    pub plaintext: Box<Zeroizing<[u8; DATA_KEY_BYTES]>>,
}

/// Shows the length of the encrypted key, and nothing of either.
impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.ciphertext.len();
        f.debug_struct("DataKey")
            .field("ciphertext", &format_args!("[{bytes} bytes]"))
            .field("plaintext", &format_args!("[redacted]"))
            .finish()
    }
}

impl Kms {
    /// The call with this region and these credentials. Nothing is sent yet.
    pub fn new(aws: &Aws) -> Self {
        Self { aws: aws.clone(), backoff: BACKOFF }
    }

    /// Has KMS make a data key of [`DATA_KEY_BYTES`] and encrypt it under the key `key_id` with the encryption context
    /// `context`. KMS decrypts it for nobody who does not name the same pairs. `key_id` is the id or ARN of a key, or
    /// the name or ARN of an alias, and is sent as it is. While KMS throttles or fails it is asked again, two times at
    /// most.
    ///
    /// The key is wiped from the memory that this crate holds. The SDK and the HTTP client do not wipe the answer, in
    /// which the key is encoded.
    ///
    /// # Errors
    /// Besides those of every call: [`ErrorKind::Gone`] if this region has no such key, as with the ARN of a key in
    /// another one; [`ErrorKind::Lasting`] if the key is disabled, is to be deleted, or does not encrypt data keys
    /// ([`Reason::KeyUnusable`](crate::Reason::KeyUnusable)), or if the data key has another length.
    pub async fn generate_data_key(&self, key_id: &str, context: &[(&str, &str)]) -> Result<DataKey, ApiError> {
        tracing::info!(key_id, region = self.aws.region, "asking for a data key");
        let begun = Instant::now();
        let client = self.client();
        let context: HashMap<_, _> = context.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let send = || {
            let request = client.generate_data_key().key_id(key_id).set_encryption_context(Some(context.clone()));
            request.number_of_bytes(DATA_KEY_BYTES as i32).send()
        };
        let again = |kind| matches!(kind, ErrorKind::Throttled | ErrorKind::Passing);
        let attempts = Attempts { limit: ATTEMPTS, backoff: self.backoff };
        // The key's name comes from the far side of the session: no character of it may act on a terminal.
        let call = Call::GenerateDataKey { key_id: quoted(&first_line(key_id)).into_owned() };
        let answer = repeat(&self.aws, &call, attempts, again, send).await?;
        match data_key(answer) {
            Ok(key) => {
                tracing::info!(took = %format_args!("{} ms", begun.elapsed().as_millis()), "got a data key");
                Ok(key)
            }
            Err(failure) => Err(failed(&self.aws, &call, failure).await),
        }
    }

    fn client(&self) -> Client {
        let mut config = Builder::from(self.aws.sdk());
        // The SDK's configuration has the endpoint of SSM.
        config.set_endpoint_url(self.aws.kms_endpoint.clone());
        if !self.aws.signs() {
            config.set_allow_no_auth();
        }
        Client::from_conf(config.build())
    }
}

/// The key in an answer.
fn data_key(answer: GenerateDataKeyOutput) -> Result<DataKey, ApiFailure> {
    let missing = |field| ApiFailure::Incomplete { field };
    // Nobody else holds these bytes: they are moved here, not copied, and wiped at the end.
    let bytes = Zeroizing::new(answer.plaintext.ok_or(missing("Plaintext"))?.into_inner());
    let ciphertext = answer.ciphertext_blob.ok_or(missing("CiphertextBlob"))?.into_inner();
    if ciphertext.is_empty() {
        return Err(missing("CiphertextBlob"));
    }
    let mut plaintext = Box::new(Zeroizing::new([0; DATA_KEY_BYTES]));
    if bytes.len() != plaintext.len() {
        return Err(ApiFailure::KeyLength { bytes: bytes.len(), expected: plaintext.len() });
    }
    plaintext.copy_from_slice(&bytes);
    Ok(DataKey { ciphertext, plaintext })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Reason, test_support::Service};

    const MILLI: Duration = Duration::from_millis(1);
    /// `CiphertextBlob` is `encrypted`, `Plaintext` the bytes 00 to 3f.
    const MADE: &str = concat!(
        r#"{"CiphertextBlob":"ZW5jcnlwdGVk","KeyId":"arn:aws:kms:eu-west-1:111122223333:key/1234","Plaintext":"#,
        r#""AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="}"#
    );

    async fn generate(key_id: &str, answers: &[(u16, &str)]) -> (Result<DataKey, ApiError>, Vec<String>) {
        let service = Service::answering(answers.iter().copied());
        let mut aws = service.aws("").await;
        aws.set_http_client(service.clone());
        let kms = Kms { aws, backoff: Backoff::new(MILLI, MILLI) };
        let result = kms.generate_data_key(key_id, &[("aws:ssm:SessionId", "me-0a")]).await;
        (result, service.requests())
    }

    fn refused(error: ApiError) -> (Reason, ErrorKind) {
        let kind = error.kind();
        let ApiFailure::Refused(refusal) = *error.failure else { panic!("{error:?}") };
        (refusal.reason, kind)
    }

    #[tokio::test]
    async fn key_length_and_context_are_sent_and_the_key_comes() {
        for key_id in ["1234", "alias/ssm", "arn:aws:kms:eu-west-1:111122223333:alias/ssm"] {
            let (key, requests) = generate(key_id, &[(200, MADE)]).await;
            let key = key.unwrap();
            assert_eq!(key.ciphertext, b"encrypted");
            assert_eq!(key.plaintext.to_vec(), (0..64).collect::<Vec<u8>>());
            let body = r#","EncryptionContext":{"aws:ssm:SessionId":"me-0a"},"NumberOfBytes":64}"#;
            assert_eq!(requests, [format!(r#"GenerateDataKey {{"KeyId":"{key_id}"{body}"#)]);
        }
    }

    #[tokio::test]
    async fn the_request_is_signed_for_kms_and_has_the_whole_context() {
        let service = Service::answering([(200, MADE)]);
        let mut aws = service.aws("").await;
        aws.set_http_client(service.clone());
        let context = [
            ("aws:ssm:SessionId", "me-0a"),
            ("aws:ssm:TargetId", "ecs:cluster_task_runtime"),
            ("aws:ssm:RandomChallenge", "Q2hhbGxlbmdlIQ=="),
        ];
        Kms::new(&aws).generate_data_key("1234", &context).await.unwrap();
        assert_eq!(service.header("x-amz-target"), ["TrentService.GenerateDataKey"]);
        assert_eq!(service.header("content-type"), ["application/x-amz-json-1.1"]);
        let signature = service.header("authorization").remove(0);
        assert!(signature.contains("/eu-west-1/kms/aws4_request"), "{signature}");
        assert_eq!(service.urls(), ["https://kms.eu-west-1.amazonaws.com/"]);
        // The pairs come in any order.
        let requests = service.requests();
        let body = requests[0].strip_prefix("GenerateDataKey ").unwrap();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(body).unwrap(),
            serde_json::json!({
                "KeyId": "1234",
                "NumberOfBytes": 64,
                "EncryptionContext": std::collections::BTreeMap::from(context),
            })
        );
    }

    #[tokio::test]
    async fn no_secret_is_shown() {
        let key = generate("1234", &[(200, MADE)]).await.0.unwrap();
        assert_eq!(format!("{key:?}"), "DataKey { ciphertext: [9 bytes], plaintext: [redacted] }");
    }

    #[tokio::test]
    async fn an_answer_without_a_whole_key_is_an_error() {
        for (answer, failure, said) in [
            (
                r#"{"CiphertextBlob":"ZW5j"}"#,
                ApiFailure::Incomplete { field: "Plaintext" },
                "the answer to GenerateDataKey has no Plaintext",
            ),
            (
                r#"{"Plaintext":"AAEC"}"#,
                ApiFailure::Incomplete { field: "CiphertextBlob" },
                "the answer to GenerateDataKey has no CiphertextBlob",
            ),
            (
                r#"{"Plaintext":"AAEC","CiphertextBlob":""}"#,
                ApiFailure::Incomplete { field: "CiphertextBlob" },
                "the answer to GenerateDataKey has no CiphertextBlob",
            ),
            (
                r#"{"Plaintext":"AAEC","CiphertextBlob":"ZW5j"}"#,
                ApiFailure::KeyLength { bytes: 3, expected: 64 },
                "the answer to GenerateDataKey has a key of 3 bytes in place of 64",
            ),
        ] {
            let error = generate("1234", &[(200, answer)]).await.0.unwrap_err();
            assert_eq!((&*error.failure, error.to_string().as_str()), (&failure, said));
        }
    }

    #[tokio::test]
    async fn each_refusal_has_its_reason_and_names_the_key() {
        use ErrorKind::{Denied, Gone, Lasting};
        for (code, reason, kind, said) in [
            ("NotFoundException", Reason::NotFound, Gone, "KMS key alias/ssm not found in eu-west-1"),
            ("InvalidArnException", Reason::NotFound, Gone, "KMS key alias/ssm not found in eu-west-1"),
            (
                "AccessDeniedException",
                Reason::NotPermitted,
                Denied,
                "GenerateDataKey with KMS key alias/ssm is not permitted",
            ),
            ("DisabledException", Reason::KeyUnusable, Lasting, "KMS key alias/ssm cannot be used"),
            ("KMSInvalidStateException", Reason::KeyUnusable, Lasting, "KMS key alias/ssm cannot be used"),
            ("InvalidKeyUsageException", Reason::KeyUnusable, Lasting, "KMS key alias/ssm cannot be used"),
            ("ValidationException", Reason::Other, Lasting, "kms.eu-west-1.amazonaws.com refuses GenerateDataKey"),
        ] {
            let answer = format!(r#"{{"__type":"{code}","message":"why"}}"#);
            let (result, requests) = generate("alias/ssm", &[(400, &answer)]).await;
            let error = result.unwrap_err();
            assert_eq!(error.to_string(), format!("{said} ({code}: why)"));
            assert_eq!((error.call.service(), error.call.action()), ("KMS", "kms:GenerateDataKey"));
            assert_eq!((refused(error), requests.len()), ((reason, kind), 1), "{code}");
        }
    }

    #[tokio::test]
    async fn throttling_and_trouble_are_waited_out() {
        let throttled = (400, r#"{"__type":"ThrottlingException"}"#);
        let unavailable = (500, r#"{"__type":"KeyUnavailableException"}"#);
        let late = (503, r#"{"__type":"DependencyTimeoutException"}"#);
        assert!(generate("1234", &[throttled, unavailable, (200, MADE)]).await.0.is_ok());
        let (result, requests) = generate("1234", &[late, late, late, (200, MADE)]).await;
        assert_eq!((refused(result.unwrap_err()), requests.len()), ((Reason::Failing, ErrorKind::Passing), 3));
    }

    #[tokio::test]
    async fn a_key_id_of_the_far_side_is_shown_as_one_line() {
        let answer = (400, r#"{"__type":"NotFoundException","message":"no"}"#);
        let (result, requests) = generate("a\u{1b}[2J\nb", &[answer]).await;
        assert!(result.unwrap_err().to_string().starts_with("KMS key a [2J not found"), "no control characters");
        assert!(requests[0].contains(r#""KeyId":"a\u001b[2J\nb""#), "{requests:?}");
    }

    #[tokio::test]
    async fn messages_name_the_host_of_the_partition() {
        let mut aws = Service::answering([]).aws("").await;
        let call = Call::GenerateDataKey { key_id: "1234".to_owned() };
        assert_eq!(aws.host(&call).await, "kms.eu-west-1.amazonaws.com");
        aws.region = "cn-north-1".to_owned();
        assert_eq!(aws.host(&call).await, "kms.cn-north-1.amazonaws.com.cn");
        aws.kms_endpoint = Some("http://127.0.0.1:1".to_owned());
        assert_eq!(aws.host(&call).await, "127.0.0.1");
    }
}
