"""Small .npy files as numpy writes them, in tests/fixtures/npy.

Those called ok_* must be read, and the ones of version 1 written again byte for byte; number i of an array (in row-major
order) is i * 1.5 - 3 for floats, i - 3 for signed, i for unsigned integers, i % 2 for booleans. Those called no_* are
good numpy files that telepathy refuses.
"""
import numpy as np

from fixture_io import FIXTURES, make_readable

TYPES = ["f4", "f2", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"]


def numbers(dtype, shape):
    i = np.arange(int(np.prod(shape)))
    if dtype[0] == "f":
        i = i * 1.5 - 3
    elif dtype[0] == "i":
        i = i - 3
    elif dtype[0] == "b":
        i = i % 2
    return i.astype("<" + dtype).reshape(shape)


def main():
    folder = FIXTURES / "npy"
    folder.mkdir(parents=True, exist_ok=True)

    def save(name, array, version=None):
        with open(folder / f"{name}.npy", "wb") as file:
            np.lib.format.write_array(file, array, version=version, allow_pickle=False)
        make_readable(folder / f"{name}.npy")

    for dtype in TYPES:
        save(f"ok_{dtype}", numbers(dtype, (2, 3)))
    for shape in [(), (5,), (0, 7), (2, 1, 3, 1, 1, 1, 1, 1), (12345678901, 0)]:
        save("ok_f4_" + ("x".join(map(str, shape)) or "scalar"), numbers("f4", shape))
    save("ok_v2", numbers("f4", (2, 3)), version=(2, 0))
    save("ok_v3", numbers("f4", (2, 3)), version=(3, 0))
    save("no_columns", np.asfortranarray(numbers("f4", (2, 3))))
    save("no_big_endian", numbers("f4", (2, 3)).astype(">f4"))
    save("no_complex", numbers("f4", (2, 3)).astype("<c8"))
    save("no_record", np.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]))
    save("no_text", np.array(["ab", "c"]))
    save("no_dims", numbers("f4", (1,) * 9))


if __name__ == "__main__":
    main()
