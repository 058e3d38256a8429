#include "formats/gguf.h"

#include <algorithm>
#include <cstring>

#include "base/byte_reader.h"
#include "base/checked.h"
#include "base/math.h"
#include "formats/gguf_types.h"

namespace facet {
namespace {

constexpr uint64_t kMaxKeyBytes = 65535;
constexpr uint64_t kMaxNameBytes = 1024;
constexpr uint32_t kMaxGgufDims = 4;
constexpr uint64_t kMaxAlignment = 1 << 20;
// The smallest entries that the format allows: an empty key with a one-byte value; an unnamed
// tensor of one dimension.
constexpr uint64_t kMinKeyValueBytes = 8 + 4 + 1, kMinTensorBytes = 8 + 4 + 8 + 4 + 8;

// Walks the mapped file. A string is its length and its bytes.
class GgufReader : public ByteReader {
 public:
  using ByteReader::ByteReader;

  bool ReadText(std::string_view& out) {
    uint64_t length;
    std::span<const std::byte> bytes;
    if (!Read(length) || !Take(length, bytes)) return false;
    out = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    return true;
  }
  bool SkipTexts(uint64_t count) {
    uint64_t length;
    for (uint64_t i = 0; i < count; ++i) {
      if (!Read(length) || !Skip(length)) return false;
    }
    return true;
  }
};

template <typename T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

struct ValueType {
  GgufArray::Kind kind;
  int bytes;  // 0 for strings
};

std::optional<ValueType> ScalarType(uint32_t id) {
  using Kind = GgufArray::Kind;
  switch (static_cast<GgufValueId>(id)) {
    case GgufValueId::kU8:
      return ValueType{Kind::kUnsigned, 1};
    case GgufValueId::kI8:
      return ValueType{Kind::kSigned, 1};
    case GgufValueId::kU16:
      return ValueType{Kind::kUnsigned, 2};
    case GgufValueId::kI16:
      return ValueType{Kind::kSigned, 2};
    case GgufValueId::kU32:
      return ValueType{Kind::kUnsigned, 4};
    case GgufValueId::kI32:
      return ValueType{Kind::kSigned, 4};
    case GgufValueId::kU64:
      return ValueType{Kind::kUnsigned, 8};
    case GgufValueId::kI64:
      return ValueType{Kind::kSigned, 8};
    case GgufValueId::kF32:
      return ValueType{Kind::kFloat, 4};
    case GgufValueId::kF64:
      return ValueType{Kind::kFloat, 8};
    case GgufValueId::kBool:
      return ValueType{Kind::kBool, 1};
    case GgufValueId::kString:
      return ValueType{Kind::kString, 0};
    case GgufValueId::kArray:
      return std::nullopt;
  }
  return std::nullopt;
}

uint64_t LoadUnsigned(const std::byte* at, int bytes) {
  switch (bytes) {
    case 1:
      return Load<uint8_t>(at);
    case 2:
      return Load<uint16_t>(at);
    case 4:
      return Load<uint32_t>(at);
    default:
      return Load<uint64_t>(at);
  }
}

int64_t LoadSigned(const std::byte* at, int bytes) {
  switch (bytes) {
    case 1:
      return Load<int8_t>(at);
    case 2:
      return Load<int16_t>(at);
    case 4:
      return Load<int32_t>(at);
    default:
      return Load<int64_t>(at);
  }
}

double LoadFloat(const std::byte* at, int bytes) {
  return bytes == 4 ? static_cast<double>(Load<float>(at)) : Load<double>(at);
}

std::string DescribeValue(const GgufValue& value) {
  struct Visitor {
    std::string operator()(uint64_t v) const { return Cat("the integer ", v); }
    std::string operator()(int64_t v) const { return Cat("the integer ", v); }
    std::string operator()(double v) const { return Cat("the number ", v); }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(std::string_view v) const {
      return Cat("the string \"", Printable(v), "\"");
    }
    std::string operator()(const GgufArray& v) const {
      constexpr const char* kNames[] = {"unsigned integers", "integers", "numbers", "booleans",
                                        "strings"};
      return Cat("an array of ", v.count, " ", kNames[static_cast<int>(v.kind)]);
    }
  };
  return std::visit(Visitor{}, value);
}

}  // namespace

// Fills a Gguf from its mapped file. Errors do not name the file yet; Open puts it in front.
class GgufParser {
 public:
  explicit GgufParser(Gguf& out) : out_(out), cursor_(out.file_.bytes()) {}

  Result<void> Parse() {
    FACET_TRY(ParseHeader());
    for (uint64_t i = 0; i < key_count_; ++i) FACET_TRY(ParseKey(i));
    FACET_TRY(ReadAlignment());
    return ParseTensors();
  }

 private:
  // A tensor whose range has not been checked against the others.
  struct PlacedTensor {
    Tensor tensor;
    uint64_t offset = 0, bytes = 0;
  };

  static Error Truncated(std::string_view what) {
    return {Cat("the file ends within ", what, kIncompleteFile)};
  }

  Result<void> ParseHeader() {
    uint32_t magic, version;
    if (!cursor_.Read(magic)) return Truncated("the magic number");
    if (magic != kGgufMagic) return Error{"not a GGUF file: it does not begin with \"GGUF\""};
    if (!cursor_.Read(version)) return Truncated("the version");
    if (version != 2 && version != 3) {
      if (__builtin_bswap32(version) == 2 || __builtin_bswap32(version) == 3) {
        return Error{"a big-endian GGUF file is not supported", ErrorKind::kUnsupported};
      }
      return Error{Expected("GGUF version 2 or 3", version, "version").message,
                   ErrorKind::kUnsupported};
    }
    if (!cursor_.Read(tensor_count_) || !cursor_.Read(key_count_)) return Truncated("the header");
    if (key_count_ > cursor_.left() / kMinKeyValueBytes) {
      return Error{
          Cat("the header claims ", key_count_, " metadata keys, more than the file can hold")};
    }
    if (tensor_count_ > cursor_.left() / kMinTensorBytes) {
      return Error{
          Cat("the header claims ", tensor_count_, " tensors, more than the file can hold")};
    }
    return Ok();
  }

  Result<void> ParseKey(uint64_t index) {
    std::string_view key;
    if (!cursor_.ReadText(key)) return Truncated(Cat("the name of metadata key ", index));
    if (key.empty() || key.size() > kMaxKeyBytes) {
      return Expected(Cat("a key of 1 to ", kMaxKeyBytes, " bytes"), Cat(key.size(), " bytes"),
                      Cat("metadata key ", index));
    }
    const std::string where = Cat("metadata key ", Printable(key));
    uint32_t type;
    if (!cursor_.Read(type)) return Truncated(where);
    FACET_ASSIGN(GgufValue value, type == static_cast<uint32_t>(GgufValueId::kArray)
                                      ? ParseArray(where)
                                      : ParseScalar(type, where));
    if (!out_.metadata_.emplace(std::string(key), value).second) {
      return Error{Cat("duplicate ", where)};
    }
    return Ok();
  }

  Result<GgufValue> ParseScalar(uint32_t id, std::string_view where) {
    const std::optional<ValueType> type = ScalarType(id);
    if (!type) return Error{Cat(where, ": unknown value type ", id)};
    if (type->kind == GgufArray::Kind::kString) {
      std::string_view text;
      if (!cursor_.ReadText(text)) return Truncated(where);
      return GgufValue(text);
    }
    std::span<const std::byte> bytes;
    if (!cursor_.Take(type->bytes, bytes)) return Truncated(where);
    switch (type->kind) {
      case GgufArray::Kind::kUnsigned:
        return GgufValue(LoadUnsigned(bytes.data(), type->bytes));
      case GgufArray::Kind::kSigned:
        return GgufValue(LoadSigned(bytes.data(), type->bytes));
      case GgufArray::Kind::kFloat:
        return GgufValue(LoadFloat(bytes.data(), type->bytes));
      default:
        break;
    }
    const int value = std::to_integer<int>(bytes[0]);
    if (value > 1) return Expected("a boolean (0 or 1)", value, where);
    return GgufValue(value == 1);
  }

  Result<GgufValue> ParseArray(std::string_view where) {
    uint32_t id;
    GgufArray array;
    if (!cursor_.Read(id) || !cursor_.Read(array.count)) return Truncated(where);
    if (id == static_cast<uint32_t>(GgufValueId::kArray)) {
      return Error{Cat(where, ": arrays of arrays are not supported"), ErrorKind::kUnsupported};
    }
    const std::optional<ValueType> type = ScalarType(id);
    if (!type) return Error{Cat(where, ": unknown array element type ", id)};
    array.kind = type->kind;
    array.element_bytes = type->bytes;
    const std::string claim = Cat(where, " (an array that claims ", array.count, " elements)");
    if (array.kind == GgufArray::Kind::kString) {
      GgufReader start = cursor_;
      if (array.count > cursor_.left() / 8 || !cursor_.SkipTexts(array.count))
        return Truncated(claim);
      start.Take(cursor_.position() - start.position(), array.bytes);
      return GgufValue(array);
    }
    const auto bytes = CheckedMul<uint64_t>(array.count, array.element_bytes);
    if (!bytes || !cursor_.Take(*bytes, array.bytes)) return Truncated(claim);
    if (array.kind == GgufArray::Kind::kBool &&
        std::ranges::any_of(array.bytes, [](std::byte b) { return std::to_integer<int>(b) > 1; })) {
      return Error{Cat(where, ": expected booleans (0 or 1) but got another byte")};
    }
    return GgufValue(array);
  }

  Result<void> ReadAlignment() {
    const auto it = out_.metadata_.find("general.alignment");
    if (it == out_.metadata_.end()) return Ok();
    const uint64_t* value = std::get_if<uint64_t>(&it->second);
    if (value == nullptr || *value < 8 || *value > kMaxAlignment || (*value & (*value - 1)) != 0) {
      return Expected(Cat("a power of two from 8 to ", kMaxAlignment), DescribeValue(it->second),
                      "general.alignment");
    }
    alignment_ = *value;
    return Ok();
  }

  Result<void> ParseTensors() {
    std::vector<PlacedTensor> entries;
    entries.reserve(tensor_count_);
    for (uint64_t i = 0; i < tensor_count_; ++i) {
      FACET_ASSIGN(PlacedTensor entry, ParseTensor(i));
      entries.push_back(std::move(entry));
    }
    // No overflow: the position is at most the file's size, which a mapping keeps far below 2^63.
    const uint64_t begin = AlignUp(cursor_.position(), alignment_);
    FACET_TRY(CheckRanges(entries, begin));
    for (PlacedTensor& entry : entries) {
      entry.tensor.data = out_.file_.bytes().subspan(begin + entry.offset, entry.bytes);
      if (out_.Find(entry.tensor.name) != nullptr) {
        return Error{Cat("duplicate tensor ", Printable(entry.tensor.name))};
      }
      out_.AddTensor(std::move(entry.tensor));
    }
    return Ok();
  }

  Result<PlacedTensor> ParseTensor(uint64_t index) {
    std::string_view name;
    if (!cursor_.ReadText(name)) return Truncated(Cat("the name of tensor ", index));
    if (name.empty() || name.size() > kMaxNameBytes) {
      return Expected(Cat("a name of 1 to ", kMaxNameBytes, " bytes"), Cat(name.size(), " bytes"),
                      Cat("tensor ", index));
    }
    PlacedTensor entry;
    entry.tensor.name = name;
    const std::string where = Cat("tensor ", Printable(name));
    uint32_t dims;
    if (!cursor_.Read(dims)) return Truncated(where);
    if (dims < 1 || dims > kMaxGgufDims) {
      return Expected(Cat("1 to ", kMaxGgufDims, " dimensions"), dims, where);
    }
    entry.tensor.shape.resize(dims);
    for (uint32_t d = 0; d < dims; ++d) {
      uint64_t size;
      if (!cursor_.Read(size)) return Truncated(where);
      const auto signed_size = CheckedCast<int64_t>(size);
      if (!signed_size || *signed_size < 1) {
        return Expected("a dimension from 1 to 2^63 - 1", size, where);
      }
      entry.tensor.shape[dims - 1 - d] = *signed_size;
    }
    uint32_t type;
    if (!cursor_.Read(type) || !cursor_.Read(entry.offset)) return Truncated(where);
    const std::optional<DType> known = FromGgmlType(type);
    if (!known) {
      return Error{Cat(where, ": the element type ", GgmlTypeName(type), " is not supported"),
                   ErrorKind::kUnsupported};
    }
    entry.tensor.type = *known;
    const std::optional<uint64_t> bytes = TensorBytes(*known, entry.tensor.shape);
    if (!bytes) {
      return Error{Cat(where, ": the shape ", entry.tensor.Describe(),
                       " is too large, or its rows are not whole blocks")};
    }
    entry.bytes = *bytes;
    return entry;
  }

  // Every range must be aligned, end inside the file, and overlap no other.
  Result<void> CheckRanges(const std::vector<PlacedTensor>& entries, uint64_t begin) const {
    const uint64_t size = out_.file_.bytes().size();
    const uint64_t room = size > begin ? size - begin : 0;
    std::vector<const PlacedTensor*> order;
    order.reserve(entries.size());
    for (const PlacedTensor& entry : entries) {
      const std::string where = Cat("tensor ", Printable(entry.tensor.name));
      if (entry.offset % alignment_ != 0) {
        return Expected(Cat("an offset that is a multiple of ", alignment_), entry.offset, where);
      }
      const auto end = CheckedAdd(entry.offset, entry.bytes);
      if (!end || *end > room) {
        return Error{Cat(where, ": its ", entry.bytes, " bytes at offset ", entry.offset,
                         " end outside the file, whose data has ", room, " bytes",
                         kIncompleteFile)};
      }
      order.push_back(&entry);
    }
    std::ranges::sort(order, {}, &PlacedTensor::offset);
    for (size_t i = 1; i < order.size(); ++i) {
      if (order[i - 1]->offset + order[i - 1]->bytes > order[i]->offset) {
        return Error{Cat("tensors ", Printable(order[i - 1]->tensor.name), " and ",
                         Printable(order[i]->tensor.name), " overlap")};
      }
    }
    return Ok();
  }

  Gguf& out_;
  GgufReader cursor_;
  uint64_t tensor_count_ = 0, key_count_ = 0, alignment_ = kGgufAlignment;
};

Result<std::unique_ptr<Gguf>> Gguf::Open(const std::filesystem::path& path) {
  FACET_ASSIGN(MappedFile file, MappedFile::Open(path));
  auto gguf = std::make_unique<Gguf>();
  gguf->path_ = path;
  gguf->file_ = std::move(file);
  if (auto parsed = GgufParser(*gguf).Parse(); !parsed.ok())
    return parsed.error().In(path.string());
  return gguf;
}

Result<const GgufValue*> Gguf::Value(std::string_view key) const {
  const auto it = metadata_.find(key);
  if (it != metadata_.end()) return &it->second;
  return Error{Cat(path_.string(), ": there is no metadata key ", Printable(key)),
               ErrorKind::kNotFound};
}

Error Gguf::WrongType(std::string_view key, std::string_view wanted, const GgufValue& got) const {
  return Expected(wanted, DescribeValue(got), Cat("metadata key ", Printable(key)))
      .In(path_.string());
}

Result<int64_t> Gguf::Int(std::string_view key) const {
  FACET_ASSIGN(const GgufValue* value, Value(key));
  if (const int64_t* number = std::get_if<int64_t>(value)) return *number;
  if (const uint64_t* number = std::get_if<uint64_t>(value)) {
    if (const auto fits = CheckedCast<int64_t>(*number)) return *fits;
  }
  return WrongType(key, "an integer below 2^63", *value);
}

Result<double> Gguf::Float(std::string_view key) const {
  FACET_ASSIGN(const GgufValue* value, Value(key));
  if (const double* number = std::get_if<double>(value)) return *number;
  if (const int64_t* number = std::get_if<int64_t>(value)) return static_cast<double>(*number);
  if (const uint64_t* number = std::get_if<uint64_t>(value)) return static_cast<double>(*number);
  return WrongType(key, "a number", *value);
}

Result<bool> Gguf::Bool(std::string_view key) const {
  FACET_ASSIGN(const GgufValue* value, Value(key));
  if (const bool* flag = std::get_if<bool>(value)) return *flag;
  return WrongType(key, "true or false", *value);
}

Result<std::string_view> Gguf::String(std::string_view key) const {
  FACET_ASSIGN(const GgufValue* value, Value(key));
  if (const std::string_view* text = std::get_if<std::string_view>(value)) return *text;
  return WrongType(key, "a string", *value);
}

Result<std::vector<int64_t>> Gguf::Ints(std::string_view key) const {
  FACET_ASSIGN(const GgufValue* value, Value(key));
  if (const bool* flag = std::get_if<bool>(value)) return std::vector<int64_t>{*flag};
  const GgufArray* array = std::get_if<GgufArray>(value);
  if (array == nullptr) {
    FACET_ASSIGN(const int64_t scalar, Int(key));
    return std::vector<int64_t>{scalar};
  }
  using Kind = GgufArray::Kind;
  if (array->kind == Kind::kFloat || array->kind == Kind::kString) {
    return WrongType(key, "an array of integers", *value);
  }
  std::vector<int64_t> out(array->count);
  const std::byte* at = array->bytes.data();
  for (int64_t& element : out) {
    if (array->kind == Kind::kSigned) {
      element = LoadSigned(at, array->element_bytes);
    } else {
      const auto fits = CheckedCast<int64_t>(LoadUnsigned(at, array->element_bytes));
      if (!fits) return WrongType(key, "integers below 2^63", *value);
      element = *fits;
    }
    at += array->element_bytes;
  }
  return out;
}

Result<std::vector<float>> Gguf::Floats(std::string_view key) const {
  FACET_ASSIGN(const GgufValue* value, Value(key));
  const GgufArray* array = std::get_if<GgufArray>(value);
  if (array == nullptr) {
    FACET_ASSIGN(const double scalar, Float(key));
    return std::vector<float>{static_cast<float>(scalar)};
  }
  if (array->kind != GgufArray::Kind::kFloat) return WrongType(key, "an array of numbers", *value);
  std::vector<float> out(array->count);
  for (uint64_t i = 0; i < array->count; ++i) {
    out[i] = static_cast<float>(
        LoadFloat(array->bytes.data() + i * array->element_bytes, array->element_bytes));
  }
  return out;
}

Result<std::vector<std::string_view>> Gguf::Strings(std::string_view key) const {
  FACET_ASSIGN(const GgufValue* value, Value(key));
  const GgufArray* array = std::get_if<GgufArray>(value);
  if (array == nullptr || array->kind != GgufArray::Kind::kString) {
    return WrongType(key, "an array of strings", *value);
  }
  std::vector<std::string_view> out(array->count);
  GgufReader reader(array->bytes);
  for (std::string_view& text : out) {
    [[maybe_unused]] const bool whole = reader.ReadText(text);
    assert(whole);  // all lengths were checked when the file was opened
  }
  return out;
}

void Gguf::Drop(const Tensor& tensor) const {
  file_.Drop(tensor.data);
}

}  // namespace facet
