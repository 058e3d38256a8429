// What docs/serving.md says of routes and fields, printed from the tables that serve them.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace facet::serve {

// Sections by name: "endpoints", "common", "chat" and so on, each a table or several in Markdown.
std::vector<std::pair<std::string, std::string>> ReferenceSections();

// `document` with every section between "<!-- begin NAME -->" and "<!-- end NAME -->" as it is now.
std::string WithReference(std::string document);

}  // namespace facet::serve
