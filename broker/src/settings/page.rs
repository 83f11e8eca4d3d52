//! `docs/configuration.md`, written from the table of settings.

use super::table::{Change, Kind, Setting, Unit, PREFIX, SETTINGS};

/// The page as Markdown.
pub fn configuration_page() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         Written from the table in `broker/src/settings/table.rs`; `UPDATE_DOCS=1 cargo test -p broker configuration` writes it again.\n\n\
         Settings go into `postgresql.conf` (or `ALTER SYSTEM`). `shared_preload_libraries` must contain `pg_kafka`.\n\
         Sizes take units (`kB`, `MB`, `GB`), times too (`ms`, `s`, `min`, `h`).\n\n\
         | setting | default | range | a change takes effect |\n|---|---|---|---|\n",
    );
    for setting in SETTINGS {
        let (default, range) = default_and_range(setting);
        page += &format!(
            "| `{PREFIX}.{}` | {default} | {range} | {} |\n",
            setting.name,
            change(setting.change)
        );
    }
    for setting in SETTINGS {
        page += &format!("\n## {PREFIX}.{}\n\n{}.", setting.name, setting.summary);
        if !setting.detail.is_empty() {
            page += &format!(" {}", setting.detail);
        }
        page.push('\n');
    }
    page
}

fn change(change: Change) -> &'static str {
    match change {
        Change::Start => "at a start of Postgres",
        Change::Reload => "at a reload",
        Change::ReloadAndListen => "at a reload, which closes all connections",
    }
}

fn default_and_range(setting: &Setting) -> (String, String) {
    match setting.kind {
        Kind::Boolean { default } => (if default { "on" } else { "off" }.to_owned(), "on, off".to_owned()),
        Kind::Text { default: "" } => ("empty".to_owned(), "text".to_owned()),
        Kind::Text { default } => (format!("`{default}`"), "text".to_owned()),
        Kind::Integer { default, min, max, unit } => {
            let show = |number: i32| with_unit(number, unit);
            (show(default), format!("{} to {}", show(min), show(max)))
        }
    }
}

/// As Postgres shows it: in the largest unit that divides it.
fn with_unit(number: i32, unit: Unit) -> String {
    let units: &[(i32, &str)] = match unit {
        Unit::Count => return number.to_string(),
        Unit::Bytes => &[(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB"), (1, "B")],
        Unit::Kilobytes => &[(1 << 30, "TB"), (1 << 20, "GB"), (1 << 10, "MB"), (1, "kB")],
        Unit::Megabytes => &[(1 << 20, "TB"), (1 << 10, "GB"), (1, "MB")],
        Unit::Milliseconds => &[(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms")],
        Unit::Seconds => &[(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")],
        Unit::Minutes => &[(1440, "d"), (60, "h"), (1, "min")],
    };
    let fitting = units.iter().find(|(size, _)| number > 0 && number % size == 0);
    fitting.map_or_else(|| number.to_string(), |(size, name)| format!("{}{name}", number / size))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// The page in docs/ is the one that the table makes; UPDATE_DOCS=1 writes it.
    #[test]
    fn configuration_page_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        let page = super::configuration_page();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            stored == page,
            "docs/configuration.md is old: UPDATE_DOCS=1 cargo test -p broker configuration"
        );
    }
}
