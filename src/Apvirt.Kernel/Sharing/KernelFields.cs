namespace Apvirt.Kernel.Sharing;

/// <summary>The fields of the kernel's own primitives that no lock guards; docs/locking.md is generated from them.</summary>
public static class KernelFields
{
    internal static SharedField Signal { get; } = new("signal", "it only ever comes, and whoever waits is woken");

    internal static SharedField TimerSetting { get; } = new("timer.setting", "whoever sets the timer or takes that back makes earlier settings void");

    /// <summary>The fields.</summary>
    public static IReadOnlyList<SharedField> All { get; } = [Signal, TimerSetting];
}
