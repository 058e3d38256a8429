// Damaged and hostile files. Each must give an error that names the file; the sanitizer build shows
// that none is read out of bounds. Regressions of public holes in other readers: CVE-2024-21802,
// -21825, -21836, -23496, -23605 (counts and lengths), CVE-2025-53630 and its bypass CVE-2026-27940
// (sum of sizes), CVE-2026-33298 (product of dimensions), CVE-2026-7482 (offset + size beyond the
// file), CVE-2024-37032 (paths out of the folder).
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <random>

#include "base/mapped_file.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "support/temp_folder.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t k2To62 = uint64_t{1} << 62, k2To63 = uint64_t{1} << 63, kAllOnes = ~uint64_t{0};

template <typename T>
std::string Raw(T value) {
  std::string out(sizeof(T), '\0');
  std::memcpy(out.data(), &value, sizeof(T));
  return out;
}

std::string Text(std::string_view text) {
  return Raw<uint64_t>(text.size()) + std::string(text);
}

// The text of a file that is put together piece by piece; pieces can be replaced before it is
// joined.
struct Pieces {
  std::vector<std::pair<std::string, std::string>> parts;

  void Add(const std::string& name, std::string bytes) {
    parts.emplace_back(name, std::move(bytes));
  }
  Pieces With(const std::string& name, std::string bytes) const {
    Pieces copy = *this;
    bool found = false;
    for (auto& [part, value] : copy.parts) {
      if (part == name) value = bytes, found = true;
    }
    EXPECT_TRUE(found) << name;
    return copy;
  }
  std::string Join() const {
    std::string out;
    for (const auto& [name, bytes] : parts) out += bytes;
    return out;
  }
};

struct GgufTensor {
  std::string name = "w";
  std::vector<uint64_t> dims = {32, 2};
  uint32_t type = 0;
  uint64_t offset = 0;
};

void AddTensor(Pieces& out, const std::string& label, const GgufTensor& t) {
  out.Add(label + ".name", Text(t.name));
  out.Add(label + ".rank", Raw<uint32_t>(static_cast<uint32_t>(t.dims.size())));
  std::string dims;
  for (const uint64_t d : t.dims) dims += Raw(d);
  out.Add(label + ".dims", dims);
  out.Add(label + ".type", Raw(t.type));
  out.Add(label + ".offset", Raw(t.offset));
}

// A valid file: every kind of value, two tensors of 256 bytes.
Pieces ValidGguf(const std::vector<GgufTensor>& tensors = {{}, {"v", {32, 2}, 0, 256}},
                 size_t data = 512) {
  Pieces out;
  out.Add("magic", "GGUF");
  out.Add("version", Raw<uint32_t>(3));
  out.Add("tensors", Raw<uint64_t>(tensors.size()));
  out.Add("keys", Raw<uint64_t>(6));
  out.Add("key0", Text("general.architecture"));
  out.Add("type0", Raw<uint32_t>(8));
  out.Add("value0", Text("gemma4"));
  out.Add("key1", Text("general.alignment"));
  out.Add("type1", Raw<uint32_t>(4));
  out.Add("value1", Raw<uint32_t>(32));
  out.Add("key2", Text("a.list"));
  out.Add("type2", Raw<uint32_t>(9));
  out.Add("element2", Raw<uint32_t>(8));
  out.Add("count2", Raw<uint64_t>(3));
  out.Add("value2", Text("one") + Text("") + Text("three"));
  out.Add("key3", Text("a.numbers"));
  out.Add("type3", Raw<uint32_t>(9));
  out.Add("element3", Raw<uint32_t>(6));
  out.Add("count3", Raw<uint64_t>(2));
  out.Add("value3", Raw(1.0f) + Raw(2.0f));
  out.Add("key4", Text("a.flag"));
  out.Add("type4", Raw<uint32_t>(7));
  out.Add("value4", Raw<uint8_t>(1));
  out.Add("key5", Text("a.long"));
  out.Add("type5", Raw<uint32_t>(11));
  out.Add("value5", Raw<int64_t>(-1));
  for (size_t i = 0; i < tensors.size(); ++i) AddTensor(out, "t" + std::to_string(i), tensors[i]);
  const size_t header = out.Join().size();
  out.Add("padding", std::string((32 - header % 32) % 32, '\0'));
  out.Add("data", std::string(data, '\1'));
  return out;
}

std::string StFile(const std::string& header, size_t data = 0) {
  return Raw<uint64_t>(header.size()) + header + std::string(data, '\1');
}

std::string StEntry(const std::string& name, const std::string& type, const std::string& shape,
                    const std::string& offsets) {
  return "\"" + name + R"(":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":)" +
         offsets + "}";
}

const std::string kStHeader = R"({"__metadata__":{"format":"pt"},)" +
                              StEntry("w", "F32", "[4,8]", "[0,128]") + "," +
                              StEntry("v", "BF16", "[8]", "[128,144]") + "}";

// A case: what is wrong, and the file.
using Cases = std::vector<std::pair<std::string, std::string>>;

Cases DamagedGguf() {
  Cases out;
  const Pieces valid = ValidGguf();
  const std::string whole = valid.Join();
  // Truncated at every boundary of the structure and one byte before it.
  size_t at = 0;
  for (const auto& [name, bytes] : valid.parts) {
    out.emplace_back("cut before " + name, whole.substr(0, at));
    if (bytes.size() > 1) out.emplace_back("cut within " + name, whole.substr(0, at + 1));
    at += bytes.size();
    if (!bytes.empty())
      out.emplace_back("cut at the last byte of " + name, whole.substr(0, at - 1));
  }
  const auto with = [&](const std::string& part, const std::string& bytes,
                        const std::string& what) {
    out.emplace_back(part + ": " + what, valid.With(part, bytes).Join());
  };
  with("magic", "GGUX", "wrong");
  with("magic", "FUGG", "reversed");
  for (const uint32_t version : {0u, 1u, 4u, 0x03000000u, ~0u})
    with("version", Raw(version), "unknown");
  for (const uint64_t count : {uint64_t{3}, uint64_t{1} << 32, k2To62, k2To63, kAllOnes}) {
    with("tensors", Raw(count), "too many");
    with("keys", Raw(count + 4), "too many");
  }
  with("keys", Raw<uint64_t>(0), "too few");
  for (const uint64_t length : {uint64_t{1} << 31, k2To62, k2To63, kAllOnes, kAllOnes - 7}) {
    for (const char* key : {"key0", "key2", "key5", "value0", "t0.name", "t1.name"}) {
      with(key, Raw(length) + "general", "length");
    }
    with("value2", Raw(length) + "one", "length of an element");
    with("value2", Text("one") + Text("") + Raw(length), "length of the last element");
    with("count2", Raw(length), "count of strings");
    with("count3", Raw(length), "count of numbers");
  }
  // 2^62 floats of 4 bytes are 2^64: the product wraps to 0.
  with("count3", Raw(k2To62), "product wraps");
  with("count3", Raw((uint64_t{1} << 62) + 2), "product wraps to the right size");
  with("key0", Text(""), "empty");
  with("key1", Text("general.architecture"), "twice");
  with("key0", Text(std::string(70000, 'k')), "too long");
  for (const uint32_t type : {13u, 255u, ~0u}) {
    with("type0", Raw(type), "unknown value type");
    with("element3", Raw(type), "unknown element type");
  }
  with("element2", Raw<uint32_t>(9), "array of arrays");
  with("value4", Raw<uint8_t>(2), "no boolean");
  with("type1", Raw<uint32_t>(5), "alignment of another type");
  for (const uint32_t alignment : {0u, 1u, 3u, 7u, 33u, 1u << 31, ~0u}) {
    with("value1", Raw(alignment), "alignment");
  }
  for (const uint32_t rank : {0u, 5u, 64u, ~0u}) with("t0.rank", Raw(rank), "rank");
  for (const uint32_t type : {4u, 5u, 9u, 10u, 23u, 28u, 39u, 99u, ~0u})
    with("t0.type", Raw(type), "unknown type");
  for (const uint64_t dim : {uint64_t{0}, k2To62, k2To63, kAllOnes, uint64_t{1} << 33}) {
    with("t0.dims", Raw(dim) + Raw<uint64_t>(2), "first dimension");
    with("t0.dims", Raw<uint64_t>(32) + Raw(dim), "second dimension");
  }
  with("t0.offset", Raw<uint64_t>(1), "misaligned");
  with("t0.offset", Raw<uint64_t>(32), "overlaps the next");
  with("t1.offset", Raw<uint64_t>(0), "the same place");
  with("t1.offset", Raw<uint64_t>(224), "overlaps the one before");
  for (const uint64_t offset : {uint64_t{288}, uint64_t{512}, k2To62, k2To63, kAllOnes - 31}) {
    with("t1.offset", Raw(offset), "ends outside the file");
  }
  // offset + bytes wraps around to a small number.
  with("t1.offset", Raw(kAllOnes - 255), "sum wraps to 0");
  with("t1.name", Text("w"), "twice");
  with("t0.name", Text(""), "empty");
  with("t0.name", Text(std::string(2000, 'n')), "too long");

  const auto one = [&](const std::string& what, GgufTensor tensor) {
    out.emplace_back(what, ValidGguf({tensor}).Join());
  };
  // Products of dimensions that wrap, in elements or in bytes.
  one("elements wrap to 0", {"w", {uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0});
  one("elements wrap to 32", {"w", {32, (uint64_t{1} << 59) + 1, 32}, 0, 0});
  one("elements wrap over four dimensions", {"w", {1 << 16, 1 << 16, 1 << 16, 1 << 16}, 0, 0});
  one("bytes wrap to 0", {"w", {k2To62}, 0, 0});
  one("bytes wrap for blocks", {"w", {(uint64_t{1} << 59) * 8}, 8, 0});
  one("elements beyond int64", {"w", {uint64_t{1} << 32, uint64_t{1} << 31}, 24, 0});
  one("rows are not whole blocks", {"w", {33, 2}, 2, 0});
  one("rows are not whole super-blocks", {"w", {32, 8}, 12, 0});
  // Many tensors whose sizes add up to more than 2^64, each alone within int64.
  out.emplace_back("sum of sizes wraps",
                   ValidGguf({{"a", {uint64_t{1} << 60}, 24, 0},
                              {"b", {uint64_t{1} << 60}, 24, uint64_t{1} << 60},
                              {"c", {uint64_t{1} << 60}, 24, k2To62},
                              {"d", {32}, 24, kAllOnes - 31}})
                       .Join());
  out.emplace_back("tensor data missing", ValidGguf({{}}, 0).Join());
  return out;
}

Cases DamagedSafetensors() {
  Cases out;
  const std::string whole = StFile(kStHeader, 144);
  for (const size_t cut : {0, 1, 7, 8, 9}) out.emplace_back("cut", whole.substr(0, cut));
  // Truncated in the header at every token; in the data at both tensors.
  for (size_t i = 8; i < 8 + kStHeader.size(); ++i) {
    if (std::strchr("{}[]:,\"", whole[i]) != nullptr)
      out.emplace_back("cut at token", whole.substr(0, i));
  }
  for (const size_t data : {0, 1, 127, 128, 129, 143}) {
    out.emplace_back("cut in the data", StFile(kStHeader, data));
  }
  out.emplace_back("bytes after the last tensor", StFile(kStHeader, 145));
  for (const uint64_t length :
       {uint64_t{0}, uint64_t{1}, uint64_t{kStHeader.size() - 1}, uint64_t{kStHeader.size() + 1},
        uint64_t{99'999'999}, uint64_t{100'000'001}, k2To62, k2To63, kAllOnes, kAllOnes - 7}) {
    out.emplace_back("header length " + std::to_string(length), Raw(length) + whole.substr(8));
  }
  const auto header = [&](const std::string& what, const std::string& text, size_t data = 128) {
    out.emplace_back(what, StFile(text, data));
  };
  header("no JSON", "hello");
  header("an array", "[]", 0);
  header("a number", "1", 0);
  header("not closed", "{", 0);
  header("text behind", "{} x", 0);
  header("leading space", " {}", 0);
  header("not UTF-8", "{\"\xff\":1}", 0);
  header("nested objects 100,000 deep", [] {
    std::string text;
    for (int i = 0; i < 100'000; ++i) text += "{\"a\":";
    return text;
  }());
  header("nested arrays 100,000 deep", "{\"a\":" + std::string(100'000, '['));
  header("arrays in a shape", R"({"w":{"dtype":"F32","shape":[[4],8],"data_offsets":[0,128]}})");
  header("metadata of another kind", R"({"__metadata__":[1]})", 0);
  header("metadata that is a number", R"({"__metadata__":{"a":1}})", 0);
  header("metadata nested", R"({"__metadata__":{"a":{}}})", 0);
  header("metadata twice", R"({"__metadata__":{"a":"b"},"__metadata__":{"a":"b"}})", 0);
  header("metadata key twice", R"({"__metadata__":{"a":"b","a":"c"}})", 0);
  header("an entry that is null", R"({"w":null})");
  header("an entry that is a string", R"({"w":"F32"})");
  header("an entry that is a list", R"({"w":[0,128]})");
  header("no dtype", R"({"w":{"shape":[4,8],"data_offsets":[0,128]}})");
  header("no shape", R"({"w":{"dtype":"F32","data_offsets":[0,128]}})");
  header("no offsets", R"({"w":{"dtype":"F32","shape":[4,8]}})");
  header("an unknown field",
         R"({"w":{"dtype":"F32","shape":[4,8],"data_offsets":[0,128],"x":[1]}})");
  header("dtype twice",
         R"({"w":{"dtype":"F32","dtype":"F32","shape":[4,8],"data_offsets":[0,128]}})");
  header("shape twice",
         R"({"w":{"dtype":"F32","shape":[4,8],"shape":[4,8],"data_offsets":[0,128]}})");
  header("dtype that is a number", R"({"w":{"dtype":1,"shape":[4,8],"data_offsets":[0,128]}})");
  const auto entry = [&](const std::string& what, const std::string& type, const std::string& shape,
                         const std::string& offsets, size_t data = 128) {
    header(what + " " + type + " " + shape + " " + offsets,
           "{" + StEntry("w", type, shape, offsets) + "}", data);
  };
  for (const char* type : {"", "F64", "F8_E4M3", "Q4_0", "f32", "F32 ", "U64"}) {
    entry("unknown type", type, "[4,8]", "[0,128]");
  }
  for (const char* shape : {"[4]",
                            "[]",
                            "[4,8,2]",
                            "[0]",
                            "[4,0]",
                            "[-4,-8]",
                            "[-32]",
                            "[4.0,8]",
                            "[4e0,8]",
                            "[\"4\",8]",
                            "[null]",
                            "[true]",
                            "{}",
                            "32",
                            "[18446744073709551615]",
                            "[18446744073709551616]",
                            "[9223372036854775808]",
                            "[4294967296,4294967296]",
                            "[4611686018427387904]",
                            "[4611686018427387936]",
                            "[65536,65536,65536,65536]",
                            "[2,9223372036854775824]",
                            "[1,1,1,1,1,1,1,4,8]"}) {
    entry("shape", "F32", shape, "[0,128]");
  }
  std::string rank64 = "[1";
  for (int i = 0; i < 63; ++i) rank64 += ",1";
  entry("rank 64", "F32", rank64 + "]", "[0,4]", 4);
  for (const char* offsets : {"[0]",
                              "[]",
                              "[0,64,128]",
                              "[128,0]",
                              "[0,127]",
                              "[0,129]",
                              "[0,256]",
                              "[1,129]",
                              "[64,192]",
                              "[-1,127]",
                              "[0,-128]",
                              "[0,128.0]",
                              "[\"0\",128]",
                              "{}",
                              "128",
                              "null",
                              "[0,4611686018427387904]",
                              "[0,9223372036854775808]",
                              "[0,18446744073709551615]",
                              "[18446744073709551488,18446744073709551616]",
                              "[18446744073709551488,0]",
                              "[18446744073709551615,127]"}) {
    entry("offsets", "F32", "[4,8]", offsets);
  }
  const std::string w = StEntry("w", "F32", "[4,8]", "[0,128]");
  header("the same name twice", "{" + w + "," + StEntry("w", "F32", "[4,8]", "[128,256]") + "}",
         256);
  header("the same name and place", "{" + w + "," + w + "}");
  header("the same place", "{" + w + "," + StEntry("v", "F32", "[4,8]", "[0,128]") + "}");
  header("overlap", "{" + w + "," + StEntry("v", "F32", "[4,8]", "[64,192]") + "}", 192);
  header("inside of another", "{" + w + "," + StEntry("v", "F32", "[1]", "[4,8]") + "}");
  header("a hole", "{" + w + "," + StEntry("v", "F32", "[4,8]", "[132,260]") + "}", 260);
  header("a hole at the beginning", "{" + StEntry("v", "F32", "[4,8]", "[4,132]") + "}", 132);
  return out;
}

// Opens `bytes` under a name that the error must carry.
template <typename File>
void ExpectRefused(const fs::path& path, const std::string& what, const std::string& bytes) {
  ASSERT_TRUE(WriteFile(path, bytes).ok());
  const auto file = File::Open(path);
  ASSERT_FALSE(file.ok()) << "opened: " << what;
  EXPECT_NE(file.error().message.find(path.filename().string()), std::string::npos)
      << what << ": " << file.error().message;
  EXPECT_GT(file.error().message.size(), path.string().size() + 10) << what;
}

TEST(DamagedFiles, TheUndamagedOnesOpen) {
  const TempFolder folder;
  ASSERT_TRUE(WriteFile(folder.path() / "a.gguf", ValidGguf().Join()).ok());
  const auto gguf = Gguf::Open(folder.path() / "a.gguf");
  ASSERT_TRUE(gguf.ok()) << gguf.error().message;
  EXPECT_EQ((*gguf)->tensors().size(), 2u);
  ASSERT_TRUE(WriteFile(folder.path() / "a.safetensors", StFile(kStHeader, 144)).ok());
  const auto st = Safetensors::Open(folder.path() / "a.safetensors");
  ASSERT_TRUE(st.ok()) << st.error().message;
  EXPECT_EQ((*st)->tensors().size(), 2u);
}

TEST(DamagedFiles, GgufGivesAnErrorEach) {
  const TempFolder folder;
  const Cases cases = DamagedGguf();
  EXPECT_GE(cases.size(), 150u);
  for (const auto& [what, bytes] : cases)
    ExpectRefused<Gguf>(folder.path() / "hurt.gguf", what, bytes);
}

TEST(DamagedFiles, SafetensorsGivesAnErrorEach) {
  const TempFolder folder;
  const Cases cases = DamagedSafetensors();
  EXPECT_GE(cases.size(), 130u);
  for (const auto& [what, bytes] : cases) {
    ExpectRefused<Safetensors>(folder.path() / "hurt.safetensors", what, bytes);
  }
}

TEST(DamagedFiles, EachSayWhatIsWrong) {
  const TempFolder folder;
  const fs::path path = folder.path() / "x.gguf";
  const auto message = [&](const Pieces& pieces) {
    EXPECT_TRUE(WriteFile(path, pieces.Join()).ok());
    const auto file = Gguf::Open(path);
    return file.ok() ? std::string() : file.error().message;
  };
  const Pieces valid = ValidGguf();
  EXPECT_NE(
      message(valid.With("t0.type", Raw<uint32_t>(10))).find("tensor w: the element type Q2_K"),
      std::string::npos);
  EXPECT_NE(message(valid.With("t1.offset", Raw<uint64_t>(32))).find("tensors w and v overlap"),
            std::string::npos);
  EXPECT_NE(message(valid.With("value1", Raw<uint32_t>(3))).find("general.alignment"),
            std::string::npos);
  EXPECT_NE(message(valid.With("count3", Raw(k2To62))).find("metadata key a.numbers"),
            std::string::npos);
  // Control bytes of a file never reach the terminal.
  const std::string text =
      message(valid.With("t0.name", Text("\x1b[2J")).With("t0.rank", Raw<uint32_t>(9)));
  EXPECT_NE(text.find("\\x1b[2J"), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(DamagedFiles, IndexFiles) {
  const TempFolder folder;
  const fs::path inside = folder.path() / "model";
  fs::create_directory(inside);
  const std::string good = StFile("{" + StEntry("w", "F32", "[4,8]", "[0,128]") + "}", 128);
  ASSERT_TRUE(WriteFile(inside / "a.safetensors", good).ok());
  ASSERT_TRUE(WriteFile(folder.path() / "outside.safetensors", good).ok());
  const fs::path index = inside / "model.safetensors.index.json";
  const auto map = [](const std::string& shard) { return R"({"weight_map":{"w":)" + shard + "}}"; };

  ASSERT_TRUE(WriteFile(index, map("\"a.safetensors\"")).ok());
  ASSERT_TRUE(Safetensors::Open(inside).ok());
  const std::string outside = (folder.path() / "outside.safetensors").string();
  const std::vector<std::string> cases = {
      "",
      "{",
      "[]",
      "1",
      "null",
      "{}",
      R"({"weight_map":null})",
      R"({"weight_map":[]})",
      R"({"weight_map":"a.safetensors"})",
      map("1"),
      map("null"),
      map("[]"),
      map("{}"),
      map("\"\""),
      map("\"../outside.safetensors\""),
      map("\"../../etc/x\""),
      map("\"./../outside.safetensors\""),
      map("\"x/../../outside.safetensors\""),
      map("\"..\""),
      map("\"/etc/passwd\""),
      map("\"" + outside + "\""),
      map("\"..\\\\outside.safetensors\""),
      map("\"a.safetensors\\u0000\""),
      map("\".\""),
      map("\"/\""),
      map("\"missing.safetensors\""),
      map("\"model.safetensors.index.json\""),
      R"({"weight_map":{"w":"a.safetensors","v":"a.safetensors"}})",
      R"({"weight_map":{"w":"a.safetensors","w":"a.safetensors"}})",
      R"({"weight_map":{"w":"a.safetensors","v":"./a.safetensors"}})",
      "{\"weight_map\":" + std::string(100'000, '[') + "}",
      "{\"a\":" + std::string(70, '[') + std::string(70, ']') +
          ",\"weight_map\":{\"w\":\"a.safetensors\"}}",
  };
  for (const std::string& text : cases) {
    ASSERT_TRUE(WriteFile(index, text).ok());
    const auto file = Safetensors::Open(inside);
    ASSERT_FALSE(file.ok()) << text.substr(0, 100);
    EXPECT_NE(file.error().message.find(inside.string()), std::string::npos)
        << file.error().message;
  }
  // A folder or a dangling link in place of a shard.
  ASSERT_TRUE(WriteFile(index, map("\"dir.safetensors\"")).ok());
  fs::create_directory(inside / "dir.safetensors");
  EXPECT_FALSE(Safetensors::Open(inside).ok());
  ASSERT_TRUE(WriteFile(index, map("\"link.safetensors\"")).ok());
  fs::create_symlink("../../blobs/none", inside / "link.safetensors");
  EXPECT_FALSE(Safetensors::Open(inside).ok());
}

// Reads everything that a reader offers.
template <typename File>
size_t Touch(const File& file) {
  size_t sum = 0;
  for (const Tensor& tensor : file.tensors()) {
    for (const std::byte b : tensor.data) sum += std::to_integer<size_t>(b);
    sum += tensor.Describe().size();
  }
  if constexpr (std::is_same_v<File, Gguf>) {
    for (const auto& [key, value] : file.metadata()) {
      for (const auto& result : {file.Strings(key)}) sum += result.ok() ? result->size() : 0;
      if (const auto numbers = file.Ints(key); numbers.ok()) sum += numbers->size();
      if (const auto numbers = file.Floats(key); numbers.ok()) sum += numbers->size();
      if (const auto text = file.String(key); text.ok()) sum += text->size();
      sum += file.Bool(key).ok() + file.Int(key).ok() + file.Float(key).ok();
    }
  }
  return sum;
}

// Bytes changed at random may give a valid file or an error, and nothing else.
template <typename File>
void Scramble(const std::string& valid, const fs::path& path, int rounds) {
  std::mt19937 random(7);
  int opened = 0, refused = 0;
  for (int round = 0; round < rounds; ++round) {
    std::string bytes = valid;
    const int changes = 1 + static_cast<int>(random() % 3);
    for (int i = 0; i < changes; ++i) {
      constexpr unsigned char kValues[] = {0x00, 0xff, 0x7f, 0x80, 0x01, 0x20};
      const size_t at = random() % bytes.size();
      bytes[at] = static_cast<char>(random() % 2 == 0 ? kValues[random() % 6] : random() % 256);
    }
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    const auto file = File::Open(path);
    if (file.ok()) {
      ++opened;
      Touch(**file);
    } else {
      ++refused;
      ASSERT_NE(file.error().message.find(path.filename().string()), std::string::npos);
    }
  }
  EXPECT_GT(opened, 0);
  EXPECT_GT(refused, 0);
}

TEST(DamagedFiles, RandomBytes) {
  const TempFolder folder;
  Scramble<Gguf>(ValidGguf({{}}, 256).Join(), folder.path() / "r.gguf", 1500);
  Scramble<Safetensors>(StFile(kStHeader, 144), folder.path() / "r.safetensors", 1500);
}

}  // namespace
}  // namespace facet
