//! The Query protocol, which STS and IAM (and EC2 and RDS) speak: form-encoded parameters in, XML
//! out.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use http::Response;
use http::header::CONTENT_TYPE;
use url::form_urlencoded;

use crate::error::AwsError;
use crate::request::Request;
use crate::service::Call;
use crate::xml::Xml;

/// The characters of names in IAM and STS besides letters and digits, as AWS writes the pattern.
const NAME_PATTERN: &str = "[\\w+=,.@-]*";

/// Whether a character may stand in a name of IAM or STS.
pub(crate) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)
}

/// A request's parameters, of the query and of the body.
#[derive(Debug)]
pub(crate) struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads them.
    pub(crate) fn read(request: &Request) -> Self {
        let query = form_urlencoded::parse(request.query.as_bytes());
        let body = form_urlencoded::parse(&request.body);
        let owned =
            |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), value.into_owned());
        Self(query.chain(body).map(owned).collect())
    }

    /// The operation that is asked for.
    ///
    /// # Errors
    /// `MissingAction` if there is none.
    pub(crate) fn action(&self) -> Result<String, AwsError> {
        self.get("Action").map(str::to_owned).ok_or_else(|| {
            AwsError::bad_request("MissingAction", "The request must contain the parameter Action")
        })
    }

    /// A parameter's value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The values `name.member.1<suffix>`, `name.member.2<suffix>` …
    pub(crate) fn list(&self, name: &str, suffix: &str) -> Vec<&str> {
        (1..).map_while(|n| self.get(&format!("{name}.member.{n}{suffix}"))).collect()
    }

    /// `Tags.member.N.{Key,Value}`, in the order given.
    pub(crate) fn tags(&self) -> Vec<(String, String)> {
        (1..)
            .map_while(|n| {
                let key = self.get(&format!("Tags.member.{n}.Key"))?;
                let value = self.get(&format!("Tags.member.{n}.Value")).unwrap_or("");
                Some((key.to_owned(), value.to_owned()))
            })
            .collect()
    }
}

/// Collects what is wrong with parameters, worded and counted as AWS does.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<String>);

impl Checks {
    fn fail(&mut self, value: &str, field: &str, constraint: &str) {
        self.0.push(format!(
            "Value {value} at '{field}' failed to satisfy constraint: Member must {constraint}"
        ));
    }

    /// A parameter that must be given; the empty text stands in for one that is not, so that
    /// checking can go on.
    pub(crate) fn required<'a>(&mut self, field: &str, value: Option<&'a str>) -> &'a str {
        if value.is_none() {
            self.fail("null", field, "not be null");
        }
        value.unwrap_or("")
    }

    /// A text's length in characters.
    pub(crate) fn length(&mut self, field: &str, value: &str, min: usize, max: usize) {
        let length = value.chars().count();
        if length > max {
            let constraint = format!("have length less than or equal to {max}");
            self.fail(&format!("'{value}'"), field, &constraint);
        }
        if length < min {
            let constraint = format!("have length greater than or equal to {min}");
            self.fail(&format!("'{value}'"), field, &constraint);
        }
    }

    /// A name's characters.
    pub(crate) fn name(&mut self, field: &str, value: &str) {
        if !value.chars().all(is_name_char) {
            let constraint = format!("satisfy regular expression pattern: {NAME_PATTERN}");
            self.fail(&format!("'{value}'"), field, &constraint);
        }
    }

    /// A whole number in a range; `default` if it is not given.
    pub(crate) fn number(
        &mut self,
        field: &str,
        value: Option<&str>,
        default: i64,
        min: i64,
        max: i64,
    ) -> i64 {
        let Some(text) = value else { return default };
        let Ok(number) = text.parse::<i64>() else {
            self.fail(&format!("'{text}'"), field, "be a whole number");
            return default;
        };
        if number > max {
            let constraint = format!("have value less than or equal to {max}");
            self.fail(&format!("'{number}'"), field, &constraint);
        }
        if number < min {
            let constraint = format!("have value greater than or equal to {min}");
            self.fail(&format!("'{number}'"), field, &constraint);
        }
        number
    }

    /// Tags: at most `most` of them, keys of 1 to 128 characters, values of 0 to 256, no key twice
    /// whatever its case.
    ///
    /// # Errors
    /// `InvalidParameterValue` at once for a key that occurs twice.
    pub(crate) fn tags(&mut self, tags: &[(String, String)], most: usize) -> Result<(), AwsError> {
        if tags.len() > most {
            let constraint = format!("have length less than or equal to {most}");
            self.fail("'[…]'", "tags", &constraint);
        }
        let mut seen = BTreeSet::new();
        for (n, (key, value)) in tags.iter().enumerate() {
            self.length(&format!("tags.{}.member.key", n + 1), key, 1, 128);
            self.length(&format!("tags.{}.member.value", n + 1), value, 0, 256);
            if !seen.insert(key.to_lowercase()) {
                return Err(AwsError::bad_request(
                    "InvalidParameterValue",
                    "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
                ));
            }
        }
        Ok(())
    }

    /// # Errors
    /// `ValidationError` with everything that was found.
    pub(crate) fn finish(self) -> Result<(), AwsError> {
        let found = self.0.len();
        if found == 0 {
            return Ok(());
        }
        let errors = if found == 1 { "error" } else { "errors" };
        Err(AwsError::bad_request(
            "ValidationError",
            format!("{found} validation {errors} detected: {}", self.0.join("; ")),
        ))
    }
}

/// An answer with a result.
pub(crate) fn answer(
    call: &Call<'_>,
    namespace: &str,
    fill: impl FnOnce(&mut Xml),
) -> Response<Body> {
    respond(call, namespace, |xml| {
        xml.node(&format!("{}Result", call.operation), fill);
    })
}

/// The answer of an operation that returns nothing.
pub(crate) fn done(call: &Call<'_>, namespace: &str) -> Response<Body> {
    respond(call, namespace, |_| {})
}

fn respond(call: &Call<'_>, namespace: &str, fill: impl FnOnce(&mut Xml)) -> Response<Body> {
    let root = format!("{}Response", call.operation);
    let document = Xml::document(&root, namespace, |xml| {
        fill(xml);
        xml.node("ResponseMetadata", |xml| {
            xml.text("RequestId", call.request_id);
        });
    });
    xml_response(http::StatusCode::OK, document)
}

/// An error's answer.
pub(crate) fn refuse(error: &AwsError, namespace: &str, request_id: &str) -> Response<Body> {
    let at_fault = if error.status.is_server_error() { "Receiver" } else { "Sender" };
    let document = Xml::document("ErrorResponse", namespace, |xml| {
        xml.node("Error", |xml| {
            xml.text("Type", at_fault);
            xml.text("Code", &error.code);
            xml.text("Message", &error.message);
        });
        xml.text("RequestId", request_id);
    });
    xml_response(error.status, document)
}

/// A response with an XML body.
pub(crate) fn xml_response(status: http::StatusCode, document: String) -> Response<Body> {
    let mut response = Response::new(Body::from(document));
    *response.status_mut() = status;
    let value = http::HeaderValue::from_static("text/xml");
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_counted_and_worded_as_aws_does() {
        let mut checks = Checks::default();
        checks.name("roleSessionName", "a b");
        assert_eq!(checks.number("durationSeconds", Some("899"), 3_600, 900, 43_200), 899);
        let error = checks.finish().unwrap_err();
        assert_eq!(error.code, "ValidationError");
        assert_eq!(
            error.message,
            "2 validation errors detected: Value 'a b' at 'roleSessionName' failed to satisfy \
             constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*; Value '899' \
             at 'durationSeconds' failed to satisfy constraint: Member must have value greater \
             than or equal to 900"
        );
    }

    #[test]
    fn what_is_missing_is_null() {
        let mut checks = Checks::default();
        assert_eq!(checks.required("roleArn", None), "");
        assert_eq!(
            checks.finish().unwrap_err().message,
            "1 validation error detected: Value null at 'roleArn' failed to satisfy constraint: \
             Member must not be null"
        );
    }

    #[test]
    fn tag_keys_may_differ_by_more_than_case() {
        let tag = |key: &str| (key.to_owned(), String::new());
        let error = Checks::default().tags(&[tag("a"), tag("A")], 50).unwrap_err();
        assert_eq!(error.code, "InvalidParameterValue");
        let many: Vec<_> = (0..51).map(|n| tag(&n.to_string())).collect();
        let mut checks = Checks::default();
        checks.tags(&many, 50).unwrap();
        assert!(checks.finish().unwrap_err().message.contains("less than or equal to 50"));
    }
}
