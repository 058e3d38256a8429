// ShareGPT's form of a conversation, as messages in the chat API's shape.
#pragma once

#include "formats/json_fields.h"

namespace facet::tune {

// Takes `conversations` with `system`, `images`, `audios` and `videos`, the media that `<image>`,
// `<audio>` and `<video>` of the texts stand for, in order. Errors name the field.
Result<OrderedJson> MessagesFromShareGpt(JsonFields& fields);

}  // namespace facet::tune
