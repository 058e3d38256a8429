#include "media/png_writer.h"

#include <png.h>

#include <cstring>

namespace facet::media {

Result<std::string> EncodePng(const Picture& picture) {
  png_image image;
  std::memset(&image, 0, sizeof(image));
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  image.format = PNG_FORMAT_RGB;
  if (picture.width <= 0 || picture.height <= 0) return Error{"a PNG needs at least one pixel"};
  png_alloc_size_t size = 0;
  std::string out;
  // Asked twice: for the size, and for the file.
  for (int pass = 0; pass < 2; ++pass) {
    if (png_image_write_to_memory(&image, pass == 0 ? nullptr : out.data(), &size, 0,
                                  picture.rgb.data(), 0, nullptr) == 0)
      return Error{Cat("PNG: ", image.message), ErrorKind::kResource};
    if (pass == 0) out.resize(size);
  }
  out.resize(size);
  return out;
}

}  // namespace facet::media
