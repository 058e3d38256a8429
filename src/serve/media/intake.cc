#include "serve/media/intake.h"

#include "base/base64.h"
#include "base/clock.h"

namespace facet::serve {
namespace {

Error TooMany(std::string message) {
  return {std::move(message), ErrorKind::kInvalid, "too_many_media"};
}

}  // namespace

Result<std::string> MediaIntake::Open(const std::string& address) {
  if (opening_ > access_.request_time) {
    return Error{"fetching the media before took too long", ErrorKind::kInvalid,
                 "media_unavailable"};
  }
  const Clock::time_point begin = Clock::now();
  auto bytes = ReadMedia(access_, address);
  opening_ += Clock::now() - begin;
  // To a client, an address that cannot be opened is a field that is wrong.
  if (!bytes) return Error{bytes.error().message, ErrorKind::kInvalid, bytes.error().code};
  opened_bytes_ += bytes->size();
  if (opened_bytes_ <= access_.max_request_bytes) return bytes;
  return TooMany(
      Cat("expected at most ", access_.max_request_bytes, " bytes behind all addresses"));
}

Result<OrderedJson> MediaIntake::Keep(const MediumSource& source) {
  if (media_.size() == kMaxMedia)
    return TooMany(Cat("expected at most ", kMaxMedia, " pictures, sounds and films"));
  if (source.kind == MediumSource::Kind::kAddress) {
    FACET_ASSIGN(std::string bytes, Open(source.text));
    media_.push_back(std::move(bytes));
  } else {
    auto bytes = DecodeBase64(source.text);
    if (!bytes) return Error{"malformed base64", ErrorKind::kInvalid, "invalid_base64"};
    media_.push_back(*std::move(bytes));
  }
  return OrderedJson{{"index", media_.size() - 1}};
}

}  // namespace facet::serve
