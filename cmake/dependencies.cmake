# Libraries, with the oldest version that has what facet uses.
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)  # duplicate keys and byte order marks in the SAX interface
find_package(spdlog 1.10 REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(CURL 7.85 REQUIRED)   # CURLOPT_PROTOCOLS_STR
find_package(Boost 1.74 REQUIRED)  # Asio and Beast; headers only
find_package(CLI11 2.1 REQUIRED)
pkg_check_modules(EDIT REQUIRED IMPORTED_TARGET libedit)
# FFmpeg 5.1: AVChannelLayout
pkg_check_modules(AV REQUIRED IMPORTED_TARGET libavformat>=59.27 libavcodec>=59.37 libavutil>=57.28 libswscale>=6.7
                                              libswresample>=4.7)
pkg_check_modules(WEBP REQUIRED IMPORTED_TARGET libwebp>=1.2 libwebpdemux>=1.2)
pkg_check_modules(HEIF REQUIRED IMPORTED_TARGET libheif>=1.15)
pkg_check_modules(PNG REQUIRED IMPORTED_TARGET libpng>=1.6)
pkg_check_modules(JPEG REQUIRED IMPORTED_TARGET libjpeg)
find_package(GIF 5.1 REQUIRED)
find_package(ZLIB REQUIRED)
pkg_check_modules(SOXR REQUIRED IMPORTED_TARGET soxr)
