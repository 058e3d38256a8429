// The media of one request, set aside while its messages are read.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "chat/conversation_reader.h"
#include "serve/media/access.h"

namespace facet::serve {

// A conversation as the chat template wants it, with the bytes of its media set aside: a media part
// is {"type": "image" | "audio" | "video", "index": n, ...} and stands for media[n].
struct Conversation {
  OrderedJson messages = OrderedJson::array();
  std::vector<std::string> media;
};

// Pictures, sounds and films of one request.
constexpr size_t kMaxMedia = 256;

class MediaIntake {
 public:
  explicit MediaIntake(const MediaAccess& access) : access_(access) {}

  // {"index": n}: the bytes are media()[n]. Opens addresses where the operator allows it. Codes of
  // errors: those of ReadMedia, "invalid_base64", "too_many_media".
  Result<OrderedJson> Keep(const MediumSource& source);
  std::vector<std::string>& media() { return media_; }

 private:
  Result<std::string> Open(const std::string& address);

  const MediaAccess& access_;
  std::vector<std::string> media_;
  // Of the addresses that were opened.
  size_t opened_bytes_ = 0;
  std::chrono::steady_clock::duration opening_{};
};

}  // namespace facet::serve
