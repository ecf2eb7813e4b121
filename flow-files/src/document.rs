//! A file's documents as they were written, with their comments: what one shows of a flow.

/// A file's documents with the numbers of their first lines, counted from 1.
pub fn split(text: &str) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let (mut first, mut lines) = (1, Vec::new());
    for (line, number) in text.lines().zip(1_u64..) {
        // A line of a document never begins so: YAML keeps it for the boundary.
        if line == "---" || line.starts_with("--- ") {
            found.push((first, std::mem::take(&mut lines)));
            first = number + 1;
        } else {
            lines.push(line);
        }
    }
    found.push((first, lines));
    found
        .into_iter()
        .map(|(first, lines)| (first, lines.join("\n").trim().to_owned()))
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_keep_their_comments() {
        let found = split("# one\nkind: Scope\n---\n# two\nkind: AccessFlow\n\n---\n");
        assert_eq!(
            found,
            [(1, "# one\nkind: Scope".to_owned()), (4, "# two\nkind: AccessFlow".to_owned())]
        );
    }
}
