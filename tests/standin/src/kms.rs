//! AWS Key Management Service (KMS), as far as sessions need it: GenerateDataKey for clients, Decrypt for the agent
//! (sessions §5.2, §5.4).
//!
//! JSON in, JSON or AWS's error out. It remembers each data key with the encryption context that it was made for, and
//! gives it back for exactly that context.

use crate::agent::DecryptRequest;
use crate::service::ApiError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// The operation of clients.
pub const GENERATE: &str = "GenerateDataKey";
/// The operation of the agent, which is not called over HTTP here.
pub const DECRYPT: &str = "Decrypt";

const BLOB_BYTES: usize = 184;
const KEY_SIZES: std::ops::RangeInclusive<u64> = 1..=1024;

#[derive(Debug)]
struct Made {
    key: Vec<u8>,
    context: BTreeMap<String, String>,
}

/// The keys that were given out.
#[derive(Debug)]
pub struct Store {
    region: String,
    key_id: Option<String>,
    rng: fastrand::Rng,
    made: HashMap<Vec<u8>, Made>,
}

impl Store {
    /// A store of `region` that knows one key, by the one name that the agent has for it.
    pub fn new(region: &str, key_id: Option<String>, rng: fastrand::Rng) -> Self {
        Self { region: region.to_owned(), key_id, rng, made: HashMap::new() }
    }

    /// Makes a data key.
    ///
    /// # Errors
    /// What KMS answers to a request that it does not take.
    pub fn generate(&mut self, request: &Value) -> Result<Value, ApiError> {
        let key_id = request.get("KeyId").and_then(Value::as_str).filter(|id| !id.is_empty());
        let key_id = key_id.ok_or_else(|| {
            let rule = "Value at 'keyId' failed to satisfy constraint: Member must not be null";
            ApiError::client("ValidationException", format!("1 validation error detected: {rule}"))
        })?;
        self.find(key_id)?;
        let size = request.get("NumberOfBytes").filter(|size| !size.is_null());
        let spec = request.get("KeySpec").filter(|spec| !spec.is_null());
        let size = match (size.and_then(Value::as_u64), spec) {
            (Some(size), None) if KEY_SIZES.contains(&size) => size,
            (None, Some(spec)) if size.is_none() && spec == "AES_256" => 32,
            (None, Some(spec)) if size.is_none() && spec == "AES_128" => 16,
            _ => {
                let message = "Please specify either number of bytes or key spec.";
                return Err(ApiError::client("ValidationException", message));
            }
        };
        let context = match request.get("EncryptionContext") {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(json) => serde_json::from_value(json.clone())
                .map_err(|_| ApiError::client("SerializationException", "EncryptionContext is not a map of strings"))?,
        };
        let key = self.random(usize::try_from(size).unwrap_or_default());
        let blob = self.random(BLOB_BYTES);
        let answer = json!({
            "CiphertextBlob": STANDARD.encode(&blob),
            "Plaintext": STANDARD.encode(&key),
            "KeyId": self.arn(key_id),
        });
        self.made.insert(blob, Made { key, context });
        Ok(answer)
    }

    /// Decrypts a data key for the agent.
    ///
    /// # Errors
    /// KMS's error, as the agent puts it into words.
    pub fn decrypt(&self, request: &DecryptRequest) -> Result<Vec<u8>, String> {
        let made = self.made.get(&request.blob).filter(|made| made.context == request.context);
        made.map(|made| made.key.clone()).ok_or_else(|| "InvalidCiphertextException: ".to_owned())
    }

    /// The plain key of a blob, for the judge.
    pub fn peek(&self, blob: &[u8]) -> Option<&[u8]> {
        self.made.get(blob).map(|made| made.key.as_slice())
    }

    fn find(&self, key_id: &str) -> Result<(), ApiError> {
        let mut parts = key_id.strip_prefix("arn:").unwrap_or_default().split(':').skip(2);
        if let Some(region) = parts.next().filter(|region| *region != self.region) {
            return Err(ApiError::client("NotFoundException", format!("Invalid arn {region}")));
        }
        if self.key_id.as_deref() == Some(key_id) {
            return Ok(());
        }
        let (what, name) = match key_id.strip_prefix("alias/") {
            Some(_) => ("Alias", format!("arn:aws:kms:{}:111122223333:{key_id}", self.region)),
            None => ("Key", format!("'{}'", self.arn(key_id))),
        };
        let gone = if what == "Alias" { "is not found." } else { "does not exist" };
        Err(ApiError::client("NotFoundException", format!("{what} {name} {gone}")))
    }

    fn arn(&self, key_id: &str) -> String {
        if key_id.starts_with("arn:") && key_id.contains(":key/") {
            return key_id.to_owned();
        }
        let id = if key_id.contains('/') { "11111111-2222-3333-4444-555555555555" } else { key_id };
        format!("arn:aws:kms:{}:111122223333:key/{id}", self.region)
    }

    fn random(&mut self, length: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.rng.u8(..)).take(length).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store {
        Store::new("us-east-1", Some("alias/lab".into()), fastrand::Rng::with_seed(1))
    }

    fn request() -> Value {
        json!({ "KeyId": "alias/lab", "NumberOfBytes": 64, "EncryptionContext": { "aws:ssm:SessionId": "s" } })
    }

    #[test]
    fn a_data_key_comes_back_for_its_own_context_alone() {
        let mut store = store();
        let answer = store.generate(&request()).unwrap();
        let bytes = |name: &str| STANDARD.decode(answer[name].as_str().unwrap()).unwrap();
        let mut request = DecryptRequest {
            key_id: "alias/lab".into(),
            blob: bytes("CiphertextBlob"),
            context: BTreeMap::from([("aws:ssm:SessionId".to_owned(), "s".to_owned())]),
        };
        assert_eq!(store.decrypt(&request), Ok(bytes("Plaintext")));
        assert_eq!(store.peek(&request.blob).unwrap().len(), 64);
        request.context.insert("more".into(), String::new());
        assert!(store.decrypt(&request).unwrap_err().starts_with("InvalidCiphertextException"));
    }

    #[test]
    fn requests_that_kms_refuses() {
        let cases: [(&str, Value, &str); 6] = [
            ("KeyId", json!("arn:aws:kms:eu-west-1:1:key/x"), "NotFoundException"),
            ("KeyId", json!("alias/other"), "NotFoundException"),
            ("KeyId", Value::Null, "ValidationException"),
            ("KeySpec", json!("AES_256"), "ValidationException"),
            ("NumberOfBytes", json!(0), "ValidationException"),
            ("EncryptionContext", json!({ "a": 1 }), "SerializationException"),
        ];
        for (name, value, expected) in cases {
            let mut request = request();
            request[name] = value;
            assert_eq!(store().generate(&request).unwrap_err().kind, expected, "{request}");
        }
    }
}
