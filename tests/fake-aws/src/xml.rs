//! Writes XML: elements with text, nothing more is needed.

/// A document under construction.
#[derive(Debug)]
pub(crate) struct Xml(String);

impl Xml {
    /// A document with one root element.
    pub(crate) fn document(root: &str, namespace: &str, fill: impl FnOnce(&mut Xml)) -> String {
        let mut xml = Xml("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned());
        xml.0.push_str(&format!("<{root} xmlns=\"{namespace}\">"));
        fill(&mut xml);
        xml.0.push_str(&format!("</{root}>"));
        xml.0
    }

    /// As `document`, without a namespace: S3's errors have none.
    pub(crate) fn plain_document(root: &str, fill: impl FnOnce(&mut Xml)) -> String {
        let mut xml = Xml("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned());
        xml.node(root, fill);
        xml.0
    }

    /// An element with elements inside.
    pub(crate) fn node(&mut self, name: &str, fill: impl FnOnce(&mut Xml)) {
        self.0.push_str(&format!("<{name}>"));
        fill(self);
        self.0.push_str(&format!("</{name}>"));
    }

    /// An element with a text inside.
    pub(crate) fn text(&mut self, name: &str, text: impl AsRef<str>) {
        self.0.push_str(&format!("<{name}>"));
        for c in text.as_ref().chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\r' => self.0.push_str("&#13;"),
                // XML 1.0 has no way to write these.
                c if c < ' ' && c != '\n' && c != '\t' => self.0.push('\u{FFFD}'),
                c => self.0.push(c),
            }
        }
        self.0.push_str(&format!("</{name}>"));
    }

    /// An element with a text, if there is one.
    pub(crate) fn optional(&mut self, name: &str, text: Option<impl AsRef<str>>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_nests() {
        let document = Xml::document("A", "urn:x", |xml| {
            xml.node("B", |xml| xml.text("C", "<\"a\" & b>\u{1}"));
            xml.optional("D", None::<&str>);
        });
        assert_eq!(
            document,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<A xmlns=\"urn:x\"><B><C>&lt;&quot;a&quot; &amp; b&gt;\u{FFFD}</C></B></A>"
        );
    }
}
