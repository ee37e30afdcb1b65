// The box of the retina's aperture in each PPM that is named, one line each.
//
//     find_box PICTURE.ppm...
//
// A line is "x0 y0 x1 y1 saturation inside", inside being the pixels of the mask, or
// "none WHY" where there is no field of view. With --mask the mask is written beside each picture,
// as PICTURE.ppm.mask, one byte a pixel.

#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <string>

#include "field_of_view.hpp"
#include "ppm.hpp"

int main(int count, char** words) {
    bool with_mask = false;
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        if (word == "--mask") {
            with_mask = true;
            continue;
        }
        try {
            const Ppm file = read_ppm(word);
            const realmnet::Picture picture{file.rgb.data(), file.height, file.width};
            const realmnet::FieldOfView found = realmnet::find_field_of_view(picture);
            const auto& [x0, y0, x1, y1] = found.box;
            const auto inside = std::count(found.mask.begin(), found.mask.end(), 1);
            std::printf("%d %d %d %d %.6f %td\n", x0, y0, x1, y1,
                        realmnet::saturation(picture, found), inside);
            if (with_mask)
                std::ofstream(word + ".mask", std::ios::binary)
                    .write(reinterpret_cast<const char*>(found.mask.data()),
                           std::streamsize(found.mask.size()));
        } catch (const realmnet::NoFieldOfView& refusal) {
            std::printf("none %s\n", refusal.what());
        } catch (const std::exception& error) {
            std::fprintf(stderr, "find_box: picture %d: %s\n", i, error.what());
            return 1;
        }
    }
    return 0;
}
