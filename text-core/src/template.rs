//! A chat template as the hub's Python renders it: Jinja2 with trimmed blocks, loop controls and a few functions.

use crate::{context, guard, python};
use minijinja::machinery::{make_string_output, parse, CodeGenerator, Instructions, Vm, WhitespaceConfig};
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use std::collections::BTreeMap;
use std::sync::Arc;

const NAME: &str = "chat template";

/// A template ready to render. The program borrows its texts from the source, which it is kept with.
pub struct Compiled {
    program: Instructions<'static>,
    blocks: BTreeMap<&'static str, Instructions<'static>>,
    environment: Environment<'static>,
    _source: Arc<str>, // last: what borrows from it goes first
}

/// Marks the error of `raise_exception`, whose text is the template's own.
#[derive(Debug)]
pub struct Raised(pub String);

impl std::fmt::Display for Raised {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

fn raise_exception(message: Value) -> Result<Value, Error> {
    let text = python::to_str(&message)?;
    Err(Error::new(ErrorKind::InvalidOperation, text.clone()).with_source(Raised(text)))
}

/// `datetime.now().strftime(format)`.
fn strftime_now(format: &str) -> Result<Value, Error> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let format = format.replace("%f", &format!("{:06}", now.subsec_micros()));
    let bad = || Error::new(ErrorKind::InvalidOperation, "strftime_now: bad format");
    let format = std::ffi::CString::new(format).map_err(|_| bad())?;
    let seconds = now.as_secs() as libc::time_t;
    let mut buffer = [0u8; 1024];
    let written = unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&seconds, &mut parts).is_null() {
            return Err(bad());
        }
        libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), &parts)
    };
    Ok(Value::from(String::from_utf8_lossy(&buffer[..written]).into_owned()))
}

fn method(state: &State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if let (Some(text), Some(first)) = (value.as_str(), args.first()) {
        let argument = |i: usize| args.get(i).and_then(Value::as_str).unwrap_or_default();
        let affix = argument(0);
        match name {
            "removeprefix" => return Ok(Value::from(text.strip_prefix(affix).unwrap_or(text))),
            "removesuffix" => return Ok(Value::from(text.strip_suffix(affix).unwrap_or(text))),
            "join" => return join(first, Some(text)),
            "replace" => guard::check_replace(text, affix, argument(1))?,
            "format" => guard::check_format(text)?,
            _ => {}
        }
    }
    unknown_method_callback(state, value, name, args)
}

/// `join(values, d='', attribute=none)`.
fn join_filter(state: &State, args: &[Value]) -> Result<Value, Error> {
    let (plain, named) = match args.split_last() {
        Some((last, rest)) if last.is_kwargs() => (rest, Kwargs::try_from(last.clone())?),
        _ => (args, Kwargs::from_iter(std::iter::empty::<(&str, Value)>())),
    };
    let argument = |at: usize, name: &str| -> Result<Option<Value>, Error> {
        match plain.get(at) {
            Some(value) => Ok(Some(value.clone())),
            None => named.get::<Option<Value>>(name),
        }
    };
    let separator = argument(1, "d")?.map(|value| python::to_str(&value)).transpose()?;
    let attribute = argument(2, "attribute")?;
    named.assert_all_used()?;
    let Some(values) = plain.first() else {
        return Err(Error::new(ErrorKind::MissingArgument, "join needs a list"));
    };
    match attribute {
        None => join(values, separator.as_deref()),
        Some(name) => {
            let named = Kwargs::from_iter([("attribute", name)]);
            let parts = state.apply_filter("map", &[values.clone(), named.into()])?;
            join(&parts, separator.as_deref())
        }
    }
}

fn join(values: &Value, separator: Option<&str>) -> Result<Value, Error> {
    let mut out = String::new();
    if values.is_undefined() || values.is_none() {
        return Ok(Value::from(out));
    }
    for (i, value) in values.try_iter()?.enumerate() {
        guard::check()?;
        if i > 0 {
            out.push_str(separator.unwrap_or_default());
        }
        match value.as_str() {
            Some(text) => out.push_str(text),
            None => out.push_str(&python::to_str(&value)?),
        }
    }
    Ok(Value::from(out))
}

/// In Python, strings and mappings have a length and items too.
fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String)
}

fn is_iterable(value: &Value) -> bool {
    is_sequence(value) || value.kind() == ValueKind::Iterable
}

fn is_number(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Number | ValueKind::Bool) || context::long_integer(value).is_some()
}

fn is_integer(value: &Value) -> bool {
    value.is_integer() || context::long_integer(value).is_some()
}

/// `{% generation %}` marks assistant text for training masks; rendering only needs its content.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let inner = &rest[start + 2..start + length];
        let sign = |c: char| c == '-' || c == '+';
        let opening: String = inner.chars().take_while(|c| sign(*c)).take(1).collect();
        let closing = if inner.len() > opening.len() && inner.ends_with(sign) {
            &inner[inner.len() - 1..]
        } else {
            ""
        };
        let name = inner[opening.len()..inner.len() - closing.len()].trim();
        let replacement = match name {
            "generation" => Some("if true"),
            "endgeneration" => Some("endif"),
            _ => None,
        };
        out.push_str(&rest[..start]);
        match replacement {
            Some(tag) => {
                out.push_str(&format!("{{%{opening} {tag} {closing}%}}"));
                rest = &rest[start + length + 2..];
            }
            None => {
                out.push_str("{%");
                rest = &rest[start + 2..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// What a template sees beside its context: functions, filters and tests without an effect outside.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_unknown_method_callback(method);
    environment.set_formatter(|out, _, value| {
        match value.as_str() {
            Some(text) => {
                guard::reserve(1, text.len())?;
                out.write_str(text)?
            }
            None => out.write_str(&python::to_str(value)?)?,
        }
        Ok(())
    });
    guard::install(&mut environment);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", python::tojson);
    environment.add_filter("string", |value: &Value| python::to_str(value));
    environment.add_filter("join", |state: &State, args: Rest<Value>| join_filter(state, &args));
    environment.add_test("sequence", is_sequence);
    environment.add_test("iterable", is_iterable);
    environment.add_test("number", is_number);
    environment.add_test("integer", is_integer);
    environment.remove_global("debug");
    environment
}

/// Compiles the template.
pub fn compile(source: &str) -> Result<Compiled, Error> {
    let source: Arc<str> = without_generation_tags(source).into();
    // SAFETY: the text stays where it is until `_source` is dropped, after everything that borrows from it.
    let text: &'static str = unsafe { &*Arc::as_ptr(&source) };
    let whitespace = WhitespaceConfig { keep_trailing_newline: false, lstrip_blocks: true, trim_blocks: true };
    let tree = parse(text, NAME, Default::default(), whitespace)?;
    guard::constants(&tree)?;
    let mut generator = CodeGenerator::new(NAME, text);
    generator.compile_stmt(&tree);
    let (program, blocks) = generator.finish();
    Ok(Compiled {
        program: guard::instructions(&program),
        blocks: blocks.iter().map(|(name, block)| (*name, guard::instructions(block))).collect(),
        environment: environment(),
        _source: source,
    })
}

/// Renders with a context given as a JSON object.
pub fn render(template: &Compiled, context: &str, fuel: u64) -> Result<String, Error> {
    let context = context::read(context)?;
    let mut environment = template.environment.clone();
    // The checks of `guard` are steps too: about one for every two of the template's own.
    environment.set_fuel(Some(fuel.saturating_add(fuel / 2)));
    let mut text = String::new();
    Vm::new(&environment).eval(
        &template.program,
        context,
        &template.blocks,
        &mut make_string_output(&mut text),
        AutoEscape::None,
    )?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::without_generation_tags;

    #[test]
    fn generation_tags_keep_their_trimming() {
        assert_eq!(
            without_generation_tags("a {%- generation -%} b {% endgeneration +%} {% if x %}{%"),
            "a {%- if true -%} b {% endif +%} {% if x %}{%"
        );
    }
}
