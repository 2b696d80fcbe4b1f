//! As much of Markdown as the document's texts have: paragraphs, code, and links within the service.

/// Text that means itself in HTML, in attributes too.
pub fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            other => html.push(other),
        }
    }
    html
}

/// Paragraphs.
pub fn blocks(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty());
    paragraphs.map(|paragraph| format!("<p>{}</p>\n", inline(paragraph.trim()))).collect()
}

/// One paragraph.
pub fn inline(text: &str) -> String {
    let mut html = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('[') {
        let (before, from) = rest.split_at(at);
        html.push_str(&code(before));
        match link(from) {
            Some((label, address, after)) => {
                html.push_str(&format!("<a href=\"{}\">{}</a>", escape(address), code(label)));
                rest = after;
            }
            None => {
                html.push('[');
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    html.push_str(&code(rest));
    html
}

/// `[label](/address)` at the beginning: its two parts, and what follows.
fn link(text: &str) -> Option<(&str, &str, &str)> {
    let (label, rest) = text.strip_prefix('[')?.split_once("](")?;
    let (address, after) = rest.split_once(')')?;
    let fits = !label.contains('[') && address.starts_with('/') && !address.contains(char::is_whitespace);
    fits.then_some((label, address, after))
}

/// What stands between backticks is code.
fn code(text: &str) -> String {
    let mut html = String::new();
    for (number, part) in text.split('`').enumerate() {
        let part = escape(part);
        if number % 2 == 1 {
            html.push_str(&format!("<code>{part}</code>"));
        } else {
            html.push_str(&part);
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_html() {
        for (text, html) in [
            ("a < b & \"c\"", "a &lt; b &amp; &quot;c&quot;"),
            ("`GET <x>` it", "<code>GET &lt;x&gt;</code> it"),
            ("See [`x`](/docs/x).", "See <a href=\"/docs/x\"><code>x</code></a>."),
            ("[a](http://b) [c", "[a](http://b) [c"),
            ("a[0] and [1, 2]", "a[0] and [1, 2]"),
        ] {
            assert_eq!(inline(text), html);
        }
        assert_eq!(blocks("one\n\ntwo\n"), "<p>one</p>\n<p>two</p>\n");
        assert_eq!(blocks(""), "");
    }
}
