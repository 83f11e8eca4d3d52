//! Values and places in which Postgres refuses a setting.

use crate::{my_turn, refused, Kept};
use kafka_test::sql::session;

/// Goal: a value that is no value of its setting is refused by Postgres with an error that names the setting, for every setting
/// that has such values.
#[test]
fn values_out_of_range_are_refused() {
    let server = my_turn();
    let mut session = session(&server);
    let query =
        "SELECT name, vartype, min_val::int8, max_val::int8 FROM pg_settings WHERE name ~ '^pg_kafka[.]' AND vartype <> 'string'";
    let settings = session.query(query, &[]).unwrap();
    assert!(settings.len() > 10, "{} settings", settings.len());
    for row in settings {
        let (name, kind): (String, String) = (row.get(0), row.get(1));
        let wrong = match kind.as_str() {
            "integer" => vec![
                (row.get::<_, i64>(2) - 1).to_string(),
                (row.get::<_, i64>(3) + 1).to_string(),
                "many".to_owned(),
            ],
            "bool" => vec!["perhaps".to_owned()],
            other => panic!("{name} is of type {other}"),
        };
        for value in wrong {
            let error = refused(&mut session, &format!("ALTER SYSTEM SET {name} = '{value}'"));
            assert_eq!(error.code().code(), "22023", "{name} = {value}: {error}");
            assert!(error.message().contains(&name), "{name} = {value}: {error}");
        }
    }
    let error = refused(&mut session, "SET pg_kafka.ports = 1");
    assert_eq!(error.code().code(), "42602", "a setting that there is not: {error}");
}

/// Goal: no session can change a setting of the broker for itself, nor by ALTER ROLE or ALTER DATABASE.
#[test]
fn sessions_cannot_change_settings() {
    let server = my_turn();
    let mut kept = Kept::on(&server);
    let mut session = session(&server);
    let query = "SELECT name, context, setting FROM pg_settings WHERE name ~ '^pg_kafka[.]'";
    for row in session.query(query, &[]).unwrap() {
        let (name, context, value): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        assert!(
            ["sighup", "postmaster"].contains(&context.as_str()),
            "{name} is of context {context}"
        );
        for statement in ["SET", "ALTER ROLE postgres SET", "ALTER DATABASE postgres SET"] {
            let error = refused(&mut session, &format!("{statement} {name} = '{value}'"));
            assert_eq!(error.code().code(), "55P02", "{statement} {name}: {error}");
        }
    }
    kept.is_served(&server);
}
