using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Hardware;

/// <summary>The AP instructions of the hardware, issued by somebody who is counted.</summary>
internal sealed class HardwareInstructions(CryptoHardware hardware, ApIssuer issuer) : IApInstructions
{
    public bool IsAvailable => true;

    public bool TryQueryConfiguration(out QciInfo info)
    {
        info = hardware.HasQci ? hardware.Configuration : QciInfo.Empty;
        return hardware.HasQci;
    }

    public ApStatus Tapq(Apqn apqn) => hardware.Tapq(apqn, issuer, out _);

    public ApStatus Tapq(Apqn apqn, out ApQueueInfo info) => hardware.Tapq(apqn, issuer, out info);

    public int CompatibleType(Apqn apqn, ApQueueInfo info) =>
        hardware.Configuration.Features.HasFlag(ApFeatures.Qact) ? ApQueueInfo.NewestKnownType : 0;

    public ApStatus Rapq(Apqn apqn) => hardware.Reset(apqn, issuer, zeroize: false);

    public ApStatus Zapq(Apqn apqn) => hardware.Reset(apqn, issuer, zeroize: true);

    public ValueTask<ApStatus> AqicAsync(KernelTask task, Apqn apqn, AqicControl control) =>
        new(hardware.Aqic(apqn, issuer, control));

    public ApStatus Nqap(Apqn apqn, ulong psmid, ReadOnlySpan<byte> message) => hardware.Enqueue(apqn, psmid, message);

    public ApStatus Dqap(Apqn apqn, out ulong psmid, out ReadOnlyMemory<byte> message) =>
        hardware.Dequeue(apqn, out psmid, out message);
}
