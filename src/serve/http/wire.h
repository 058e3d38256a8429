// The bytes of HTTP/1.1 answers.
#pragma once

#include <string>

#include "serve/http/http.h"

namespace facet::serve {

struct HeadOptions {
  bool keep = true, stream = false, chunked = false;
};

// Status line and headers, with the empty line behind them. `extra` follows the answer's own.
std::string ResponseHead(const HttpResponse& response, const Headers& extra, HeadOptions options);

// A piece of a chunked body.
std::string Chunk(std::string bytes);

}  // namespace facet::serve
