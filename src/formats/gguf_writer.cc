// GgufWriter: metadata and the declared tensors' places first, then the tensors one by one.
#include <cstring>
#include <optional>
#include <set>

#include "base/atomic_file.h"
#include "base/checked.h"
#include "base/math.h"
#include "formats/gguf.h"
#include "formats/gguf_types.h"

namespace facet {
namespace {

struct Declared {
  std::string name;
  DType type;
  std::vector<int64_t> shape;
  uint64_t bytes = 0, offset = 0;
};

template <typename T>
void PutValue(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

void PutText(std::string& out, std::string_view text) {
  PutValue<uint64_t>(out, text.size());
  out += text;
}

void PutId(std::string& out, GgufValueId id) {
  PutValue(out, static_cast<uint32_t>(id));
}

// Type and value of a scalar as they stand in the file.
template <typename T>
std::string EncodeScalar(GgufValueId id, T value) {
  std::string out;
  PutId(out, id);
  PutValue(out, value);
  return out;
}

std::string ArrayHead(GgufValueId element, uint64_t count) {
  std::string out;
  PutId(out, GgufValueId::kArray);
  PutId(out, element);
  PutValue(out, count);
  return out;
}

GgufValueId ElementId(const GgufArray& array) {
  using Kind = GgufArray::Kind;
  const int bytes = array.element_bytes;
  switch (array.kind) {
    case Kind::kUnsigned:
      return bytes == 1   ? GgufValueId::kU8
             : bytes == 2 ? GgufValueId::kU16
             : bytes == 4 ? GgufValueId::kU32
                          : GgufValueId::kU64;
    case Kind::kSigned:
      return bytes == 1   ? GgufValueId::kI8
             : bytes == 2 ? GgufValueId::kI16
             : bytes == 4 ? GgufValueId::kI32
                          : GgufValueId::kI64;
    case Kind::kFloat:
      return bytes == 4 ? GgufValueId::kF32 : GgufValueId::kF64;
    case Kind::kBool:
      return GgufValueId::kBool;
    case Kind::kString:
      return GgufValueId::kString;
  }
  return GgufValueId::kU8;
}

// A scalar in the narrowest type that loaders expect of it: 32 bits where it fits.
std::string EncodeCopy(const GgufValue& value) {
  struct Visitor {
    std::string operator()(uint64_t v) const {
      if (const auto narrow = CheckedCast<uint32_t>(v))
        return EncodeScalar(GgufValueId::kU32, *narrow);
      return EncodeScalar(GgufValueId::kU64, v);
    }
    std::string operator()(int64_t v) const {
      if (const auto narrow = CheckedCast<int32_t>(v))
        return EncodeScalar(GgufValueId::kI32, *narrow);
      return EncodeScalar(GgufValueId::kI64, v);
    }
    std::string operator()(double v) const {
      return EncodeScalar(GgufValueId::kF32, static_cast<float>(v));
    }
    std::string operator()(bool v) const {
      return EncodeScalar(GgufValueId::kBool, static_cast<uint8_t>(v));
    }
    std::string operator()(std::string_view v) const {
      std::string out;
      PutId(out, GgufValueId::kString);
      PutText(out, v);
      return out;
    }
    std::string operator()(const GgufArray& v) const {
      std::string out = ArrayHead(ElementId(v), v.count);
      out.append(reinterpret_cast<const char*>(v.bytes.data()), v.bytes.size());
      return out;
    }
  };
  return std::visit(Visitor{}, value);
}

uint64_t Padding(uint64_t position) {
  return AlignUp(position, kGgufAlignment) - position;
}

}  // namespace

struct GgufWriter::State {
  std::vector<std::pair<std::string, std::string>> keys;  // name, encoded type and value
  std::vector<Declared> tensors;
  std::filesystem::path path;
  std::optional<AtomicFile> file;
  size_t current = 0;    // tensor that the next byte belongs to
  uint64_t written = 0;  // its bytes so far

  void Set(std::string key, std::string encoded) {
    for (auto& [name, value] : keys) {
      if (name == key) {
        value = std::move(encoded);
        return;
      }
    }
    keys.emplace_back(std::move(key), std::move(encoded));
  }

  Result<void> Pad(uint64_t position) {
    constexpr char kZeros[kGgufAlignment] = {};
    return file->Write(std::string_view(kZeros, Padding(position)));
  }

  // Sizes and offsets of the declared tensors.
  Result<void> Place() {
    uint64_t offset = 0;
    std::set<std::string_view> names;
    for (Declared& tensor : tensors) {
      const auto bytes = TensorBytes(tensor.type, tensor.shape);
      if (!bytes || !ToGgmlType(tensor.type) || tensor.shape.empty() || tensor.shape.size() > 4) {
        return Error{Cat("tensor ", tensor.name, " cannot be written as ", ShapeText(tensor.shape),
                         " ", Traits(tensor.type).name)};
      }
      if (!names.insert(tensor.name).second) {
        return Error{Cat("duplicate tensor ", tensor.name)};
      }
      tensor.bytes = *bytes;
      tensor.offset = offset;
      const auto end = CheckedAdd(offset, *bytes + Padding(*bytes));
      if (!end) return Error{Cat("tensor ", tensor.name, ": the file would be too large")};
      offset = *end;
    }
    return Ok();
  }

  std::string Header() const {
    std::string out;
    PutValue(out, kGgufMagic);
    PutValue<uint32_t>(out, 3);
    PutValue<uint64_t>(out, tensors.size());
    PutValue<uint64_t>(out, keys.size());
    for (const auto& [name, value] : keys) {
      PutText(out, name);
      out += value;
    }
    for (const Declared& tensor : tensors) {
      PutText(out, tensor.name);
      PutValue(out, static_cast<uint32_t>(tensor.shape.size()));
      for (size_t d = tensor.shape.size(); d-- > 0;) PutValue<uint64_t>(out, tensor.shape[d]);
      PutValue(out, *ToGgmlType(tensor.type));
      PutValue(out, tensor.offset);
    }
    return out;
  }

  // Steps over tensors that are complete, padding each.
  Result<void> Advance() {
    while (current < tensors.size() && written == tensors[current].bytes) {
      FACET_TRY(Pad(written));
      ++current;
      written = 0;
    }
    return Ok();
  }
};

GgufWriter::GgufWriter() : state_(std::make_unique<State>()) {}

GgufWriter::~GgufWriter() = default;

void GgufWriter::Set(std::string key, uint32_t value) {
  state_->Set(std::move(key), EncodeScalar(GgufValueId::kU32, value));
}
void GgufWriter::Set(std::string key, int32_t value) {
  state_->Set(std::move(key), EncodeScalar(GgufValueId::kI32, value));
}
void GgufWriter::Set(std::string key, uint64_t value) {
  state_->Set(std::move(key), EncodeScalar(GgufValueId::kU64, value));
}
void GgufWriter::Set(std::string key, float value) {
  state_->Set(std::move(key), EncodeScalar(GgufValueId::kF32, value));
}
void GgufWriter::Set(std::string key, bool value) {
  state_->Set(std::move(key), EncodeScalar(GgufValueId::kBool, static_cast<uint8_t>(value)));
}
void GgufWriter::Set(std::string key, std::string_view value) {
  state_->Set(std::move(key), EncodeCopy(GgufValue(value)));
}
void GgufWriter::Set(std::string key, const std::vector<std::string>& value) {
  std::string out = ArrayHead(GgufValueId::kString, value.size());
  for (const std::string& text : value) PutText(out, text);
  state_->Set(std::move(key), std::move(out));
}
void GgufWriter::Set(std::string key, const std::vector<int32_t>& value) {
  std::string out = ArrayHead(GgufValueId::kI32, value.size());
  for (const int32_t number : value) PutValue(out, number);
  state_->Set(std::move(key), std::move(out));
}
void GgufWriter::Set(std::string key, const std::vector<float>& value) {
  std::string out = ArrayHead(GgufValueId::kF32, value.size());
  for (const float number : value) PutValue(out, number);
  state_->Set(std::move(key), std::move(out));
}
void GgufWriter::Set(std::string key, const std::vector<bool>& value) {
  std::string out = ArrayHead(GgufValueId::kBool, value.size());
  for (const bool flag : value) PutValue(out, static_cast<uint8_t>(flag));
  state_->Set(std::move(key), std::move(out));
}
void GgufWriter::Copy(std::string key, const GgufValue& value) {
  state_->Set(std::move(key), EncodeCopy(value));
}

void GgufWriter::Declare(std::string name, DType type, std::vector<int64_t> shape) {
  assert(!state_->file);
  state_->tensors.push_back({std::move(name), type, std::move(shape)});
}

Result<void> GgufWriter::Begin(const std::filesystem::path& path) {
  State& s = *state_;
  assert(!s.file);
  if (auto placed = s.Place(); !placed.ok()) return placed.error().In(path.string());
  s.path = path;
  FACET_ASSIGN(AtomicFile file, AtomicFile::Create(path));
  s.file.emplace(std::move(file));
  const std::string header = s.Header();
  FACET_TRY(s.file->Write(header));
  FACET_TRY(s.Pad(header.size()));
  return s.Advance();
}

Result<void> GgufWriter::Append(std::span<const std::byte> data) {
  State& s = *state_;
  assert(s.file);
  if (s.current == s.tensors.size() || data.size() > s.tensors[s.current].bytes - s.written) {
    return Error{
        Cat(s.path.string(), ": more bytes than declared for ",
            s.current == s.tensors.size() ? "the last tensor" : s.tensors[s.current].name)};
  }
  FACET_TRY(s.file->Write(data));
  s.written += data.size();
  return s.Advance();
}

Result<void> GgufWriter::Finish() {
  State& s = *state_;
  assert(s.file);
  if (s.current != s.tensors.size()) {
    return Error{Cat(s.path.string(), ": tensor ", s.tensors[s.current].name, " has ", s.written,
                     " of ", s.tensors[s.current].bytes, " bytes")};
  }
  const Result<void> written = s.file->Commit();
  s.file.reset();
  return written;
}

}  // namespace facet
