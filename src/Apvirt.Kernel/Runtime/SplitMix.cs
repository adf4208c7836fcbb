namespace Apvirt.Kernel.Runtime;

/// <summary>A small seeded generator (SplitMix64): the same seed gives the same sequence on every machine.</summary>
public struct SplitMix
{
    private ulong _state;

    /// <summary>Starts the sequence of a seed.</summary>
    /// <param name="seed">Any number.</param>
    public SplitMix(ulong seed) => _state = seed;

    /// <summary>The sequence of one of many executions; those of one seed have nothing in common with those of another.</summary>
    /// <param name="seed">Any number.</param>
    /// <param name="number">Number of the execution.</param>
    public static SplitMix Of(ulong seed, long number) => new(Mix(Mix(seed) ^ (ulong)number));

    /// <summary>The next 64 bits.</summary>
    public ulong Next()
    {
        ulong z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>The next number below a bound.</summary>
    /// <param name="bound">At least 1.</param>
    public int Below(int bound) => (int)(((Next() >> 32) * (ulong)(uint)bound) >> 32);

    private static ulong Mix(ulong value) => new SplitMix(value).Next();
}
