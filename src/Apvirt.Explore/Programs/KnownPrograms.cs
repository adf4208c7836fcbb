namespace Apvirt.Explore.Programs;

/// <summary>A program with known answers.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Program">The program.</param>
/// <param name="Traces">Number of traces.</param>
/// <param name="Deadlocked">How many of them end in a deadlock.</param>
/// <param name="Interleavings">Interleavings with points before acquisitions only.</param>
/// <param name="AllInterleavings">Interleavings with points at releases too.</param>
public sealed record KnownProgram(string Name, LockProgram Program, long Traces, long Deadlocked, long Interleavings, long AllInterleavings);

/// <summary>The lock sequences of the historical and the final design, and dining philosophers, with exact answers.</summary>
public static class KnownPrograms
{
    private const int Vcpu = 0, Mdevs = 1, Kvm = 2, Guests = 3, Perms = 4, Vcpu2 = 5;

    /// <summary>The programs.</summary>
    public static IReadOnlyList<KnownProgram> All { get; } =
    [
        new("S1-abba", new(2, LockProgram.Nest(0, 1), LockProgram.Nest(1, 0)), 3, 1, 4, 6),
        new("S1-ordered", new(2, LockProgram.Nest(0, 1), LockProgram.Nest(0, 1)), 2, 0, 2, 2),
        new("S2-bug", new(3, LockProgram.Nest(Vcpu, Mdevs), LockProgram.Nest(Kvm, Vcpu), LockProgram.Nest(Mdevs, Kvm)), 7, 1, 30, 168),
        Fixed("S2-fixed", 4, 6, 53, 1_470, []),
        Fixed("S3-4", 5, 24, 1_634, 579_958, [LockProgram.Nest(Perms, Guests, Kvm, Mdevs)]),
        Fixed("S3-5", 6, 96, 127_452, 2_984_297_976, [LockProgram.Nest(Perms, Guests, Kvm, Mdevs), LockProgram.Nest(Vcpu2, Mdevs)]),
        Fixed("S3-6", 6, 600, 2_527_152, 342_105_518_512, [LockProgram.Nest(Perms, Guests, Kvm, Mdevs), LockProgram.Nest(Vcpu2, Mdevs), LockProgram.Nest(Perms, Guests, Kvm, Mdevs)]),
        new("dining-3", Dining(3, isAsymmetric: false), 7, 1, 30, 168),
        new("dining-4", Dining(4, isAsymmetric: false), 15, 1, 448, 98_184),
        new("dining-5", Dining(5, isAsymmetric: false), 31, 1, 12_240, 66_468_720),
        new("asymmetric-3", Dining(3, isAsymmetric: true), 6, 0, 20, 142),
        new("asymmetric-4", Dining(4, isAsymmetric: true), 14, 0, 360, 64_000),
        new("asymmetric-5", Dining(5, isAsymmetric: true), 30, 0, 10_332, 49_719_072),
    ];

    private static KnownProgram Fixed(string name, int locks, long traces, long interleavings, long all, Instruction[][] more) => new(
        name,
        new LockProgram(locks, [LockProgram.Nest(Vcpu, Mdevs), LockProgram.Nest(Kvm, Vcpu), LockProgram.Nest(Guests, Kvm, Mdevs), .. more]),
        traces, 0, interleavings, all);

    private static LockProgram Dining(int count, bool isAsymmetric) => new(
        count,
        [.. Enumerable.Range(0, count).Select(i =>
            isAsymmetric && i == count - 1 ? LockProgram.Nest(0, count - 1) : LockProgram.Nest(i, (i + 1) % count))]);
}
