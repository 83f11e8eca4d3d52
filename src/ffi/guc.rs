//! GUCs from the table of settings (chapter "Customized Options").

use std::ffi::{c_char, c_int, CStr, CString};
use std::sync::OnceLock;

use broker::settings::table::{Change, Kind, Setting, Snapshot, Unit, Value, PREFIX, SETTINGS};
use pgrx::pg_sys;

/// Where Postgres keeps a setting's value.
enum Place {
    Boolean(*mut bool),
    Integer(*mut c_int),
    Text(*mut *mut c_char),
}

struct Places(Vec<Place>);

// SAFETY: the pointers are read by `snapshot` only, which runs on the main thread, the only one that lets Postgres change them.
unsafe impl Send for Places {}
// SAFETY: as above.
unsafe impl Sync for Places {}

static PLACES: OnceLock<Places> = OnceLock::new();

/// Defines every setting of the table. For `_PG_init`, once.
pub fn define() {
    PLACES.get_or_init(|| Places(SETTINGS.iter().map(define_one).collect()));
    let prefix = text(PREFIX);
    // SAFETY: the prefix is a C string that lives on.
    unsafe { pg_sys::MarkGUCPrefixReserved(prefix.as_ptr()) };
}

/// The settings at this moment, copied: a reload frees the memory that Postgres keeps texts in. Main thread only.
pub fn snapshot() -> Snapshot {
    Snapshot::take(|setting| {
        let index = SETTINGS.iter().position(|other| other.name == setting.name);
        let place = PLACES.get().and_then(|places| places.0.get(index?));
        place.map_or_else(|| setting.default_value(), read)
    })
}

fn read(place: &Place) -> Value {
    // SAFETY: the places are allocated for good by `define_one`; Postgres writes them on this thread only, and a string GUC is null
    // or a C string until the next change.
    unsafe {
        match *place {
            Place::Boolean(value) => Value::Boolean(*value),
            Place::Integer(value) => Value::Integer(*value),
            Place::Text(value) if (*value).is_null() => Value::Text(String::new()),
            Place::Text(value) => Value::Text(CStr::from_ptr(*value).to_string_lossy().into_owned()),
        }
    }
}

/// A C string for the life of the process; what has a zero byte is cut there.
fn text(string: &str) -> &'static CStr {
    let until_zero: Vec<u8> = string.bytes().take_while(|byte| *byte != 0).collect();
    Box::leak(CString::new(until_zero).unwrap_or_default().into_boxed_c_str())
}

fn define_one(setting: &Setting) -> Place {
    let name = text(&format!("{PREFIX}.{}", setting.name)).as_ptr();
    let summary = text(&format!("{}.", setting.summary)).as_ptr();
    let detail = if setting.detail.is_empty() {
        std::ptr::null()
    } else {
        text(setting.detail).as_ptr()
    };
    let context = match setting.change {
        Change::Start => pg_sys::GucContext::PGC_POSTMASTER,
        Change::Reload | Change::ReloadAndListen => pg_sys::GucContext::PGC_SIGHUP,
    };
    // SAFETY: names, texts and places are allocated for the life of the process, as Postgres demands of custom variables; without
    // hooks nothing of ours is called.
    unsafe {
        match setting.kind {
            Kind::Boolean { default } => {
                let place = Box::leak(Box::new(default)) as *mut bool;
                pg_sys::DefineCustomBoolVariable(name, summary, detail, place, default, context, 0, None, None, None);
                Place::Boolean(place)
            }
            Kind::Integer { default, min, max, unit } => {
                let place = Box::leak(Box::new(default)) as *mut c_int;
                let flags = match unit {
                    Unit::Count => 0,
                    Unit::Bytes => pg_sys::GUC_UNIT_BYTE as c_int,
                    Unit::Kilobytes => pg_sys::GUC_UNIT_KB as c_int,
                    Unit::Megabytes => pg_sys::GUC_UNIT_MB as c_int,
                    Unit::Milliseconds => pg_sys::GUC_UNIT_MS as c_int,
                    Unit::Seconds => pg_sys::GUC_UNIT_S as c_int,
                    Unit::Minutes => pg_sys::GUC_UNIT_MIN as c_int,
                };
                pg_sys::DefineCustomIntVariable(
                    name, summary, detail, place, default, min, max, context, flags, None, None, None,
                );
                Place::Integer(place)
            }
            Kind::Text { default } => {
                let place = Box::leak(Box::new(std::ptr::null_mut())) as *mut *mut c_char;
                pg_sys::DefineCustomStringVariable(
                    name,
                    summary,
                    detail,
                    place,
                    text(default).as_ptr(),
                    context,
                    0,
                    None,
                    None,
                    None,
                );
                Place::Text(place)
            }
        }
    }
}
