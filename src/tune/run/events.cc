#include "tune/run/events.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace facet::tune {
namespace {

double Now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value & 1) ? value >> 1 ^ 0x82f63b78u : value >> 1;
    table[i] = value;
  }
  return table;
}();

template <typename T>
void AppendLittleEndian(T value, std::string& out) {
  for (size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
}

// --- protobuf wire format

void AppendVarint(uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}
enum Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
void AppendKey(int field, Wire wire, std::string& out) {
  AppendVarint(static_cast<uint64_t>(field) << 3 | wire, out);
}
void AppendBytes(int field, std::string_view bytes, std::string& out) {
  AppendKey(field, kBytes, out);
  AppendVarint(bytes.size(), out);
  out += bytes;
}
void AppendVarintField(int field, int64_t value, std::string& out) {
  AppendKey(field, kVarint, out);
  AppendVarint(static_cast<uint64_t>(value), out);
}

// Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5;
//         SessionLog session_log = 7; }
std::string EventBegin(double seconds) {
  std::string event;
  AppendKey(1, kFixed64, event);
  AppendLittleEndian(std::bit_cast<uint64_t>(seconds), event);
  return event;
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  uint32_t crc = ~uint32_t{0};
  for (const char c : bytes) crc = kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 0xFF] ^ crc >> 8;
  return ~crc;
}

std::string TfRecord(std::string_view record) {
  const auto masked = [](std::string_view bytes) {
    return std::rotr(Crc32c(bytes), 15) + 0xa282ead8u;
  };
  std::string length, out;
  AppendLittleEndian(uint64_t{record.size()}, length);
  out = length;
  AppendLittleEndian(masked(length), out);
  out += record;
  AppendLittleEndian(masked(record), out);
  return out;
}

std::string VersionEvent(double seconds) {
  std::string event = EventBegin(seconds);
  AppendBytes(3, "brain.Event:2", event);
  return event;
}

std::string StartEvent(double seconds, int64_t step) {
  std::string event = EventBegin(seconds), log;
  AppendVarintField(2, step, event);
  AppendVarintField(1, 1, log);  // SessionLog { SessionStatus status = 1; }, START = 1
  AppendBytes(7, log, event);
  return event;
}

// Summary { repeated Value value = 1; }  Value { string tag = 1; float simple_value = 2; }
std::string ScalarEvent(double seconds, int64_t step, std::string_view tag, float number) {
  std::string value, summary, event = EventBegin(seconds);
  AppendBytes(1, tag, value);
  AppendKey(2, kFixed32, value);
  AppendLittleEndian(std::bit_cast<uint32_t>(number), value);
  AppendBytes(1, value, summary);
  AppendVarintField(2, step, event);
  AppendBytes(5, summary, event);
  return event;
}

Result<std::unique_ptr<EventWriter>> EventWriter::Create(const std::filesystem::path& folder,
                                                         int64_t step) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  char host[256] = "localhost";
  gethostname(host, sizeof(host) - 1);
  auto writer = std::unique_ptr<EventWriter>(new EventWriter());
  // TensorBoard reads the files of a folder in the order of their names.
  int64_t seconds = static_cast<int64_t>(Now());
  const auto name = [&] {
    return folder / Cat("events.out.tfevents.", seconds, ".", host, ".", getpid(), ".0");
  };
  while (std::filesystem::exists(name(), code)) ++seconds;
  writer->path_ = name();
  writer->file_.reset(std::fopen(writer->path_.c_str(), "wb"));
  if (!writer->file_)
    return Error{Cat(writer->path_.string(), ": ", std::strerror(errno)), ErrorKind::kIo};
  FACET_TRY(writer->Write(VersionEvent(Now())));
  if (step > 0) FACET_TRY(writer->Write(StartEvent(Now(), step)));
  return writer;
}

Result<void> EventWriter::Write(std::string_view event) {
  const std::string record = TfRecord(event);
  if (std::fwrite(record.data(), 1, record.size(), file_.get()) != record.size())
    return Error{Cat(path_.string(), ": ", std::strerror(errno)), ErrorKind::kIo};
  return Ok();
}

Result<void> EventWriter::Add(int64_t step, std::string_view tag, double value) {
  return Write(ScalarEvent(Now(), step, tag, static_cast<float>(value)));
}

Result<void> EventWriter::Flush() {
  if (std::fflush(file_.get()) != 0)
    return Error{Cat(path_.string(), ": ", std::strerror(errno)), ErrorKind::kIo};
  return Ok();
}

}  // namespace facet::tune
