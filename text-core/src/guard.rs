//! Limits on what a template builds. The engine's fuel bounds its steps; here each step is kept from building more than the
//! memory limit by more than a small factor.
//!
//! Compiled instructions get a check after each one that may have grown a value, and after each turn of a loop; what
//! multiplies its operands (`~`, replace, join, indent, ...) asks before. Constants are folded while compiling, so they are
//! checked in the syntax tree.

use crate::{memory, python};
use minijinja::machinery::{ast, Instruction, Instructions};
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{filters, tests, Environment, Error, ErrorKind, State, Value};

/// Longest list, also where it is only described (`[1] * 1000000`), and largest constant.
const MAX_ITEMS: usize = 4 << 20;
const MAX_CONSTANT: usize = 1 << 20;
/// Largest width or count that a filter takes.
const MAX_COUNT: i64 = 100_000;

// With a dot, so that they take the place of no usual filter.
const CHECK: &str = "facet.check";
const CONCAT: &str = "facet.concat";
const CONTAINS: &str = "facet.contains";
const REMAINDER: &str = "facet.remainder";
/// Looked up by name each time, not kept in one of the engine's few slots.
const UNCACHED: u8 = !0;

/// Marks the error of a template that needs too much memory.
#[derive(Debug)]
pub struct TooMuchMemory;

impl std::fmt::Display for TooMuchMemory {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("the template needs too much memory")
    }
}

impl std::error::Error for TooMuchMemory {}

fn too_much() -> Error {
    Error::new(ErrorKind::InvalidOperation, "too much memory").with_source(TooMuchMemory)
}

/// An error where the limit is exceeded.
pub fn check() -> Result<(), Error> {
    if memory::exceeded() {
        return Err(too_much());
    }
    Ok(())
}

/// An error where `count` times `bytes` more would exceed it.
pub fn reserve(count: usize, bytes: usize) -> Result<(), Error> {
    match count.checked_mul(bytes) {
        Some(bytes) if memory::fits(bytes) => Ok(()),
        _ => Err(too_much()),
    }
}

fn is_container(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Plain)
}

fn check_value(value: Value) -> Result<Value, Error> {
    check()?;
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
        && value.len().is_some_and(|items| items > MAX_ITEMS)
    {
        return Err(too_much());
    }
    Ok(value)
}

fn concat(left: &Value, right: &Value) -> Result<Value, Error> {
    if let (Some(left), Some(right)) = (left.as_str(), right.as_str()) {
        reserve(1, left.len() + right.len())?;
        return Ok(Value::from([left, right].concat()));
    }
    let (left, right) = (python::to_str(left)?, python::to_str(right)?);
    reserve(1, left.len() + right.len())?;
    Ok(Value::from(left + &right))
}

/// Python's remainder has the sign of the divisor.
fn number_remainder(left: &Value, right: &Value) -> Result<Value, Error> {
    let failed = |what: &str| Error::new(ErrorKind::InvalidOperation, what.to_string());
    let whole = |value: &Value| match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        _ if value.is_integer() => i128::try_from(value.clone()).ok(),
        _ => None,
    };
    if let (Some(left), Some(right)) = (whole(left), whole(right)) {
        let rest = left.checked_rem(right).ok_or_else(|| failed("a remainder of a division by zero"))?;
        let other_sign = rest != 0 && (rest < 0) != (right < 0);
        return Ok(Value::from(if other_sign { rest + right } else { rest }));
    }
    let float = |value: &Value| whole(value).map(|n| n as f64).or_else(|| f64::try_from(value.clone()).ok());
    match (float(left), float(right)) {
        (Some(_), Some(right)) if right == 0.0 => Err(failed("a remainder of a division by zero")),
        (Some(left), Some(right)) => Ok(Value::from(left - right * (left / right).floor())),
        _ => Err(failed(&format!("tried to use % operator on {} and {}", left.kind(), right.kind()))),
    }
}

/// `%` formats where a text is on its left.
fn remainder(state: &State, left: &Value, right: &Value) -> Result<Value, Error> {
    let Some(format) = left.as_str() else {
        return number_remainder(left, right);
    };
    let mut args = vec![left.clone()];
    match right.kind() {
        // Jinja's tuples are lists here.
        ValueKind::Seq if conversions(format).len() != 1 => args.extend(right.try_iter()?),
        _ => args.push(right.clone()),
    }
    state.apply_filter("format", &args)
}

fn contains(state: &State, value: &Value, container: &Value) -> Result<bool, Error> {
    if container.as_str().is_some() && is_container(value) {
        return tests::is_in(state, &Value::from(python::to_str(value)?), container);
    }
    tests::is_in(state, value, container)
}

/// The letter of each conversion of a format.
fn conversions(format: &str) -> Vec<char> {
    let mut out = Vec::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            continue;
        }
        let letter = rest.by_ref().find(|c| c.is_ascii_alphabetic() || *c == '%');
        out.extend(letter.filter(|letter| *letter != '%'));
    }
    out
}

/// What a filter on texts gets: `str` of the value, and of the parts that are texts among its arguments.
fn texts(name: &str, args: &[Value]) -> Result<Vec<Value>, Error> {
    check()?;
    let letters = match name {
        "format" => conversions(args.first().and_then(Value::as_str).unwrap_or_default()),
        _ => Vec::new(),
    };
    let mut out = Vec::with_capacity(args.len());
    for (at, value) in args.iter().enumerate() {
        let letter = at.checked_sub(1).and_then(|at| letters.get(at));
        let is_text = at == 0 || (name == "replace" && at < 3) || letter == Some(&'s');
        out.push(if value.is_kwargs() || value.as_str().is_some() {
            check_named(value)?;
            value.clone()
        } else if letter == Some(&'r') {
            Value::from(python::repr(value)?)
        } else if is_text {
            Value::from(python::to_str(value)?)
        } else if is_container(value) {
            return Err(Error::new(ErrorKind::InvalidOperation, format!("{name} takes no list or mapping here")));
        } else {
            value.clone()
        });
    }
    Ok(out)
}

fn check_named(value: &Value) -> Result<(), Error> {
    if !value.is_kwargs() {
        return Ok(());
    }
    let kwargs = Kwargs::try_from(value.clone())?;
    for name in kwargs.args() {
        if is_container(&kwargs.peek::<Value>(name)?) {
            return Err(Error::new(ErrorKind::InvalidOperation, format!("{name} cannot be a list or mapping")));
        }
    }
    Ok(())
}

/// Widths and counts among a filter's arguments.
fn check_counts(args: &[Value]) -> Result<(), Error> {
    for value in args.iter().skip(1) {
        let count = |value: &Value| value.is_integer() && i64::try_from(value.clone()).map_or(true, |n| n > MAX_COUNT);
        let named = |value: &Value| -> Result<bool, Error> {
            let kwargs = Kwargs::try_from(value.clone())?;
            let mut large = false;
            for name in kwargs.args() {
                large = large || count(&kwargs.peek::<Value>(name)?);
            }
            Ok(large)
        };
        if count(value) || (value.is_kwargs() && named(value)?) {
            return Err(too_much());
        }
    }
    Ok(())
}

fn lines(text: &str) -> usize {
    1 + text.bytes().filter(|byte| *byte == b'\n').count()
}

/// Room for what `replace` makes of these.
pub fn check_replace(text: &str, old: &str, new: &str) -> Result<(), Error> {
    let places = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    reserve(places, new.len())?;
    reserve(1, text.len())
}

/// A format may ask for fields of any width.
pub fn check_format(format: &str) -> Result<(), Error> {
    let longest = format.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
    if longest > 4 || format.contains('*') {
        return Err(too_much());
    }
    reserve(format.len(), 10_000)
}

fn width(args: &[Value]) -> Result<usize, Error> {
    let mut width = 4;
    for value in args.iter().skip(1).take(1) {
        width = value.as_usize().unwrap_or(width);
    }
    if let Some(last) = args.last().filter(|value| value.is_kwargs()) {
        width = Kwargs::try_from(last.clone())?.peek::<Option<usize>>("width")?.unwrap_or(width);
    }
    Ok(width)
}

fn check_text_filter(name: &str, args: &[Value]) -> Result<(), Error> {
    let text = |i: usize| args.get(i).and_then(Value::as_str).unwrap_or_default();
    match name {
        "replace" => check_replace(text(0), text(1), text(2)),
        "format" => check_format(text(0)),
        "indent" => reserve(lines(text(0)), width(args)?),
        _ => Ok(()),
    }
}

/// `map` applies a filter to each item: its results add up within one step.
fn map(state: &State, value: Value, args: Rest<Value>) -> Result<Value, Error> {
    let name = args.first().and_then(Value::as_str);
    let Some(name) = name else {
        return Value::from_function(filters::map).call(state, &with_first(value, &args));
    };
    let mut out = Vec::new();
    for item in value.try_iter()? {
        let item = state.apply_filter(name, &with_first(item, &args[1..]))?;
        out.push(check_value(item)?);
    }
    Ok(Value::from(out))
}

fn with_first(first: Value, rest: &[Value]) -> Vec<Value> {
    std::iter::once(first).chain(rest.iter().cloned()).collect()
}

fn sum(state: &State, values: Value) -> Result<Value, Error> {
    for value in values.try_iter()? {
        if !matches!(value.kind(), ValueKind::Number | ValueKind::Bool) {
            return Err(Error::new(ErrorKind::InvalidOperation, "sum adds numbers only"));
        }
    }
    filters::sum(state, values)
}

/// Filters, tests and checks that keep the limits.
pub fn install(environment: &mut Environment<'static>) {
    environment.add_filter(CHECK, check_value);
    environment.add_filter(CONCAT, concat);
    environment.add_filter(CONTAINS, contains);
    environment.add_filter(REMAINDER, remainder);
    environment.add_test("in", contains);
    environment.add_filter("map", map);
    environment.add_filter("sum", sum);
    environment.add_filter("pprint", |value: &Value| python::repr(value));
    // Of no use to chat templates, and not of Jinja2.
    for name in ["chain", "zip"] {
        environment.remove_filter(name);
    }
    for name in ["startingwith", "endingwith"] {
        environment.remove_test(name);
    }
    let text_filters: [(&'static str, Value); 13] = [
        ("upper", Value::from_function(filters::upper)),
        ("lower", Value::from_function(filters::lower)),
        ("title", Value::from_function(filters::title)),
        ("capitalize", Value::from_function(filters::capitalize)),
        ("replace", Value::from_function(filters::replace)),
        ("trim", Value::from_function(filters::trim)),
        ("split", Value::from_function(filters::split)),
        ("lines", Value::from_function(filters::lines)),
        ("indent", Value::from_function(filters::indent)),
        ("format", Value::from_function(filters::format)),
        ("escape", Value::from_function(filters::escape)),
        ("e", Value::from_function(filters::escape)),
        ("safe", Value::from_function(filters::safe)),
    ];
    for (name, filter) in text_filters {
        environment.add_filter(name, move |state: &State, args: Rest<Value>| {
            let args = texts(name, &args)?;
            check_counts(&args)?;
            check_text_filter(name, &args)?;
            filter.call(state, &args)
        });
    }
    let list_filters: [(&'static str, Value); 5] = [
        ("list", Value::from_function(filters::list)),
        ("batch", Value::from_function(filters::batch)),
        ("slice", Value::from_function(filters::slice)),
        ("round", Value::from_function(filters::round)),
        ("sort", Value::from_function(filters::sort)),
    ];
    for (name, filter) in list_filters {
        environment.add_filter(name, move |state: &State, args: Rest<Value>| {
            check_counts(&args)?;
            filter.call(state, &args)
        });
    }
}

fn grows(instruction: &Instruction<'_>) -> bool {
    matches!(
        instruction,
        Instruction::Iterate(_)
            | Instruction::Add
            | Instruction::Mul
            | Instruction::Slice
            | Instruction::ApplyFilter(..)
            | Instruction::CallFunction(..)
            | Instruction::CallMethod(..)
            | Instruction::CallObject(_)
            | Instruction::EndCapture
            | Instruction::BuildList(_)
            | Instruction::BuildMap(_)
    )
}

fn guarded<'source>(instruction: Instruction<'source>, places: &[u32]) -> Instruction<'source> {
    let moved = |place: u32| places[place as usize];
    match instruction {
        Instruction::StringConcat => Instruction::ApplyFilter(CONCAT, Some(2), UNCACHED),
        Instruction::Rem => Instruction::ApplyFilter(REMAINDER, Some(2), UNCACHED),
        Instruction::In => Instruction::ApplyFilter(CONTAINS, Some(2), UNCACHED),
        Instruction::Iterate(place) => Instruction::Iterate(moved(place)),
        Instruction::Jump(place) => Instruction::Jump(moved(place)),
        Instruction::JumpIfFalse(place) => Instruction::JumpIfFalse(moved(place)),
        Instruction::JumpIfFalseOrPop(place) => Instruction::JumpIfFalseOrPop(moved(place)),
        Instruction::JumpIfTrueOrPop(place) => Instruction::JumpIfTrueOrPop(moved(place)),
        Instruction::BuildMacro(name, place, flags) => Instruction::BuildMacro(name, moved(place), flags),
        other => other,
    }
}

/// The same program with its checks.
pub fn instructions<'source>(plain: &Instructions<'source>) -> Instructions<'source> {
    let mut places = Vec::new(); // where each instruction comes to lie, and the end
    let mut next = 0;
    while let Some(instruction) = plain.get(places.len() as u32) {
        places.push(next);
        next += 1 + u32::from(grows(instruction));
    }
    places.push(next);
    let mut out = Instructions::new(plain.name(), plain.source());
    for at in 0..places.len() as u32 - 1 {
        let Some(instruction) = plain.get(at) else { break };
        let line = plain.get_line(at).unwrap_or(0) as u16;
        out.add_with_line(guarded(instruction.clone(), &places), line);
        if grows(instruction) {
            out.add_with_line(Instruction::ApplyFilter(CHECK, Some(1), UNCACHED), line);
        }
    }
    out
}

fn too_large() -> Error {
    Error::new(ErrorKind::InvalidOperation, "a constant is too large").with_source(TooMuchMemory)
}

fn constants_of_arguments(args: &[ast::CallArg<'_>]) -> Result<(), Error> {
    for arg in args {
        match arg {
            ast::CallArg::Pos(expr)
            | ast::CallArg::Kwarg(_, expr)
            | ast::CallArg::PosSplat(expr)
            | ast::CallArg::KwargSplat(expr) => constant_size(expr)?,
        };
    }
    Ok(())
}

fn constants_of_operator(op: &ast::BinOp<'_>) -> Result<usize, Error> {
    let (left, right) = (constant_size(&op.left)?, constant_size(&op.right)?);
    if !matches!(op.op, ast::BinOpKind::Mul) {
        return Ok(left + right);
    }
    let times = |expr: &ast::Expr<'_>| expr.as_const().and_then(|value| value.as_usize()).unwrap_or(1);
    // Each operand is small by now, so that looking at it is cheap.
    Ok(left.saturating_mul(times(&op.right)).max(right.saturating_mul(times(&op.left))))
}

/// Bytes or items of what an expression becomes while it is compiled; 0 where that is a number or left to the rendering.
/// An error where it, or a part of it, is too large.
fn constant_size(expr: &ast::Expr<'_>) -> Result<usize, Error> {
    let optional = |expr: &Option<ast::Expr<'_>>| expr.as_ref().map_or(Ok(0), constant_size);
    let size = match expr {
        ast::Expr::Const(constant) => constant.value.as_str().map_or(0, str::len),
        ast::Expr::BinOp(op) => constants_of_operator(op)?,
        ast::Expr::List(list) => {
            for item in &list.items {
                constant_size(item)?;
            }
            list.items.len()
        }
        ast::Expr::Map(map) => {
            for part in map.keys.iter().chain(&map.values) {
                constant_size(part)?;
            }
            map.keys.len()
        }
        ast::Expr::Var(_) => 0,
        ast::Expr::UnaryOp(op) => constant_size(&op.expr)?,
        ast::Expr::Compare(compare) => {
            constant_size(&compare.expr)?;
            for (i, op) in compare.ops.iter().enumerate() {
                constant_size(&op.expr)?;
                let membership = matches!(op.op, ast::CompareOpKind::In | ast::CompareOpKind::NotIn);
                if membership && i + 1 < compare.ops.len() {
                    return Err(Error::new(ErrorKind::SyntaxError, "a chained comparison with 'in' is not supported"));
                }
            }
            0
        }
        ast::Expr::Slice(slice) => {
            for part in [&slice.start, &slice.stop, &slice.step] {
                optional(part)?;
            }
            constant_size(&slice.expr)?
        }
        ast::Expr::IfExpr(choice) => {
            constant_size(&choice.test_expr)?;
            constant_size(&choice.true_expr)?.max(optional(&choice.false_expr)?)
        }
        ast::Expr::Filter(filter) => {
            constants_of_arguments(&filter.args)?;
            optional(&filter.expr)?;
            0
        }
        ast::Expr::Test(test) => {
            constants_of_arguments(&test.args)?;
            constant_size(&test.expr)?;
            0
        }
        ast::Expr::GetAttr(attribute) => constant_size(&attribute.expr)?,
        ast::Expr::GetItem(item) => {
            constant_size(&item.subscript_expr)?;
            constant_size(&item.expr)?
        }
        ast::Expr::Call(call) => {
            constants_of_arguments(&call.args)?;
            constant_size(&call.expr)?;
            0
        }
    };
    if size > MAX_CONSTANT {
        return Err(too_large());
    }
    Ok(size)
}

fn constants_of_all(body: &[ast::Stmt<'_>]) -> Result<(), Error> {
    body.iter().try_for_each(constants)
}

fn constants_of_macro(declaration: &ast::Macro<'_>) -> Result<(), Error> {
    for value in &declaration.defaults {
        constant_size(value)?;
    }
    constants_of_all(&declaration.body)
}

/// An error where compiling the template would make a constant that is too large.
pub fn constants(stmt: &ast::Stmt<'_>) -> Result<(), Error> {
    use ast::Stmt;
    match stmt {
        Stmt::Template(node) => constants_of_all(&node.children),
        Stmt::EmitExpr(node) => constant_size(&node.expr).map(drop),
        Stmt::EmitRaw(_) | Stmt::Continue(_) | Stmt::Break(_) => Ok(()),
        Stmt::ForLoop(node) => {
            constant_size(&node.iter)?;
            node.filter_expr.as_ref().map_or(Ok(0), constant_size)?;
            constants_of_all(&node.body)?;
            constants_of_all(&node.else_body)
        }
        Stmt::IfCond(node) => {
            constant_size(&node.expr)?;
            constants_of_all(&node.true_body)?;
            constants_of_all(&node.false_body)
        }
        Stmt::WithBlock(node) => {
            for (_, value) in &node.assignments {
                constant_size(value)?;
            }
            constants_of_all(&node.body)
        }
        Stmt::Set(node) => {
            constant_size(&node.target)?;
            constant_size(&node.expr).map(drop)
        }
        Stmt::SetBlock(node) => {
            node.filter.as_ref().map_or(Ok(0), constant_size)?;
            constants_of_all(&node.body)
        }
        Stmt::AutoEscape(node) => {
            constant_size(&node.enabled)?;
            constants_of_all(&node.body)
        }
        Stmt::FilterBlock(node) => {
            constant_size(&node.filter)?;
            constants_of_all(&node.body)
        }
        Stmt::Block(node) => constants_of_all(&node.body),
        Stmt::Import(node) => constant_size(&node.expr).map(drop),
        Stmt::FromImport(node) => constant_size(&node.expr).map(drop),
        Stmt::Extends(node) => constant_size(&node.name).map(drop),
        Stmt::Include(node) => constant_size(&node.name).map(drop),
        Stmt::Macro(node) => constants_of_macro(node),
        Stmt::CallBlock(node) => {
            constants_of_arguments(&node.call.args)?;
            constants_of_macro(&node.macro_decl)
        }
        Stmt::Do(node) => constants_of_arguments(&node.call.args),
    }
}
