using System.Globalization;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Ap.Architecture;

/// <summary>
/// A mask of 256 adapters or domains. Bit 0 is the leftmost bit of the printed form (vfio-ap.md §1), so id i is bit
/// 63 - i % 64 of word i / 64.
/// </summary>
public readonly struct ApMask : IEquatable<ApMask>
{
    /// <summary>Number of ids.</summary>
    public const int Size = 256;

    // Four words, leftmost first. One vector, so that masks are always moved and combined whole: a mask written word by
    // word and then read whole would wait for the stores to leave the store buffer.
    private readonly Vector256<ulong> _words;

    /// <summary>Makes a mask of four words, leftmost first.</summary>
    /// <param name="w0">Ids 0 to 63.</param>
    /// <param name="w1">Ids 64 to 127.</param>
    /// <param name="w2">Ids 128 to 191.</param>
    /// <param name="w3">Ids 192 to 255.</param>
    public ApMask(ulong w0, ulong w1, ulong w2, ulong w3) => _words = Vector256.Create(w0, w1, w2, w3);

    private ApMask(Vector256<ulong> words) => _words = words;

    /// <summary>No id.</summary>
    public static ApMask None => default;

    /// <summary>All 256 ids.</summary>
    public static ApMask All => new(Vector256<ulong>.AllBitsSet);

    /// <summary>Whether no id is in the mask.</summary>
    public bool IsEmpty => _words == Vector256<ulong>.Zero;

    /// <summary>Number of ids in the mask.</summary>
    public int Count =>
        BitOperations.PopCount(Word(0)) + BitOperations.PopCount(Word(1)) + BitOperations.PopCount(Word(2)) + BitOperations.PopCount(Word(3));

    /// <summary>Whether an id is in the mask.</summary>
    /// <param name="id">0 to 255.</param>
    public bool this[int id] => (Word(id >> 6) >> (63 - (id & 63)) & 1) != 0;

    /// <summary>The mask of one id.</summary>
    /// <param name="id">0 to 255.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ApMask Of(int id) => new(
        Vector256.Equals(Vector256.Create(0UL, 1, 2, 3), Vector256.Create((ulong)id >> 6))
        & Vector256.Create(1UL << (63 - (id & 63))));

    /// <summary>The mask of several ids.</summary>
    /// <param name="ids">Each 0 to 255.</param>
    public static ApMask Of(params IEnumerable<int> ids)
    {
        ApMask mask = None;
        foreach (int id in ids)
            mask |= Of(id);
        return mask;
    }

    /// <summary>The mask of the ids 0 to <paramref name="max"/>.</summary>
    /// <param name="max">Highest id, -1 to 255.</param>
    public static ApMask UpTo(int max) =>
        new(Low(max), Low(max - 64), Low(max - 128), Low(max - 192));

    /// <summary>The mask with an id added.</summary>
    /// <param name="id">0 to 255.</param>
    public ApMask With(int id) => this | Of(id);

    /// <summary>The mask with an id taken out.</summary>
    /// <param name="id">0 to 255.</param>
    public ApMask Without(int id) => this & ~Of(id);

    /// <summary>Whether the masks have an id in common.</summary>
    /// <param name="other">The other mask.</param>
    public bool Intersects(in ApMask other) => (_words & other._words) != Vector256<ulong>.Zero;

    /// <summary>Whether every id of this mask is in the other.</summary>
    /// <param name="other">The other mask.</param>
    public bool IsSubsetOf(in ApMask other) => Vector256.AndNot(_words, other._words) == Vector256<ulong>.Zero;

    /// <summary>The ids, ascending.</summary>
    public Enumerator GetEnumerator() => new(this);

    /// <summary>The ids, ascending, as a list.</summary>
    public IReadOnlyList<int> ToList()
    {
        List<int> ids = new(Count);
        foreach (int id in this)
            ids.Add(id);
        return ids;
    }

    /// <summary>One of the four words.</summary>
    /// <param name="index">0 (ids 0 to 63) to 3.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Word(int index) => Unsafe.Add(ref Unsafe.As<Vector256<ulong>, ulong>(ref Unsafe.AsRef(in _words)), index & 3);

    /// <summary>Writes 64 hexadecimal digits in lower case, leftmost id first.</summary>
    /// <param name="digits">Room for 64 characters.</param>
    public void FormatHex(Span<byte> digits)
    {
        for (int word = 0; word < 4; word++)
        {
            ulong value = Word(word);
            for (int i = 15; i >= 0; i--, value >>= 4)
                digits[(word * 16) + i] = "0123456789abcdef"u8[(int)(value & 0xf)];
        }
    }

    /// <summary>The mask as sysfs prints it, without the line end: 0x and 64 digits (sysfs.md G13).</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture, $"0x{Word(0):x16}{Word(1):x16}{Word(2):x16}{Word(3):x16}");

    /// <inheritdoc/>
    public bool Equals(ApMask other) => _words == other._words;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is ApMask other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => _words.GetHashCode();

    /// <summary>Ids that are in both masks.</summary>
    public static ApMask operator &(in ApMask a, in ApMask b) => new(a._words & b._words);

    /// <summary>Ids that are in either mask.</summary>
    public static ApMask operator |(in ApMask a, in ApMask b) => new(a._words | b._words);

    /// <summary>Ids that are in one of the masks only.</summary>
    public static ApMask operator ^(in ApMask a, in ApMask b) => new(a._words ^ b._words);

    /// <summary>Ids that are not in the mask.</summary>
    public static ApMask operator ~(in ApMask a) => new(~a._words);

    /// <summary>Whether the masks are the same.</summary>
    public static bool operator ==(in ApMask a, in ApMask b) => a.Equals(b);

    /// <summary>Whether the masks differ.</summary>
    public static bool operator !=(in ApMask a, in ApMask b) => !a.Equals(b);

    private static ulong Low(int max) => max < 0 ? 0 : max >= 63 ? ulong.MaxValue : ~(ulong.MaxValue >> (max + 1));

    /// <summary>Walks the ids of a mask in ascending order.</summary>
    [OwnedBy("Whoever walks: a local of its own.")]
    public struct Enumerator
    {
        private readonly ApMask _mask;
        private ulong _rest;
        private int _word;

        internal Enumerator(in ApMask mask)
        {
            _mask = mask;
            _rest = mask.Word(0);
            _word = 0;
            Current = -1;
        }

        /// <summary>The id.</summary>
        public int Current { get; private set; }

        /// <summary>Goes to the next id.</summary>
        public bool MoveNext()
        {
            while (_rest == 0)
            {
                if (++_word > 3)
                    return false;
                _rest = _mask.Word(_word);
            }
            int zeros = BitOperations.LeadingZeroCount(_rest);
            _rest &= ~(1UL << (63 - zeros));
            Current = (_word << 6) + zeros;
            return true;
        }
    }
}
