// Binary PPM (P6, 255 levels): decoded pixels in a file, so that an example needs no decoder.

#pragma once

#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Ppm {
    int height = 0, width = 0;
    std::vector<std::uint8_t> rgb;
};

inline Ppm read_ppm(const std::string& path) {
    constexpr long long most_pixels = 1LL << 28;
    std::ifstream file(path, std::ios::binary);
    std::string kind;
    Ppm picture;
    int levels = 0;
    if (!(file >> kind >> picture.width >> picture.height >> levels) || kind != "P6" ||
        levels != 255 || picture.width < 1 || picture.height < 1 ||
        1LL * picture.width * picture.height > most_pixels)
        throw std::runtime_error("no binary PPM of 255 levels (P6)");
    file.get();
    picture.rgb.resize(std::size_t(picture.width) * picture.height * 3);
    if (!file.read(reinterpret_cast<char*>(picture.rgb.data()), std::streamsize(picture.rgb.size())))
        throw std::runtime_error("the PPM is cut short");
    return picture;
}
