namespace Apvirt.Explore.Engine;

/// <summary>A hash that is the same in every process (FNV-1a over 64 bits, with a final mix).</summary>
internal struct Fnv
{
    private const ulong Prime = 0x100000001b3;

    private ulong _hash;

    /// <summary>Begins.</summary>
    public Fnv() => _hash = 0xcbf29ce484222325;

    internal readonly ulong Value => (_hash ^ (_hash >> 32)) * 0x9E3779B97F4A7C15;

    internal void Add(ulong value)
    {
        for (int i = 0; i < sizeof(ulong); i++, value >>= 8)
            _hash = (_hash ^ (value & 0xff)) * Prime;
    }

    internal void Add(string text)
    {
        foreach (char letter in text)
            _hash = (_hash ^ letter) * Prime;
        Add((ulong)text.Length);
    }
}
