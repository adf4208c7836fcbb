using Apvirt.Kernel.Runtime;
using Apvirt.Ap.Architecture;
using Apvirt.Kvm.Crypto;
using Apvirt.Kvm.Machines;

namespace Apvirt.Kvm.Tests.Crypto;

/// <summary>Formats and widths of the control block (kvm.md §2).</summary>
public sealed class ApcbTests
{
    [Theory]
    [InlineData(CrycbFormat.Format0, 64, 16)]
    [InlineData(CrycbFormat.Format1, 64, 16)]
    [InlineData(CrycbFormat.Format2, 256, 256)]
    public void MasksAreCutToTheWidthsOfTheFormat(CrycbFormat format, int adapters, int domains)
    {
        Apcb apcb = new Apcb(ApMask.All, ApMask.All, ApMask.All).Truncate(format);
        Assert.Equal(Enumerable.Range(0, adapters), apcb.Apm.ToList());
        Assert.Equal(Enumerable.Range(0, domains), apcb.Aqm.ToList());
        Assert.Equal(Enumerable.Range(0, domains), apcb.Adm.ToList());
    }

    [Theory]
    [InlineData(true, true, CrycbFormat.Format2)]
    [InlineData(true, false, CrycbFormat.Format1)]
    [InlineData(false, true, CrycbFormat.Format0)]
    [InlineData(false, false, CrycbFormat.Format0)]
    public void TheFormatFollowsFacility76ThenApxa(bool hasFacility76, bool hasApxa, CrycbFormat format)
    {
        VirtualMachine machine = new(new SimulationRuntime(), "g1", hasApxa, new VirtualMachineOptions { HasFacility76 = hasFacility76 });
        Assert.Equal(format, machine.Format);
        Assert.Equal(format switch { CrycbFormat.Format0 => 0b00, CrycbFormat.Format1 => 0b01, _ => 0b11 }, (int)machine.Format);
    }

    [Fact]
    public void AQueueIsReachedIfBothItsBitsAreSet()
    {
        Apcb apcb = new(ApMask.Of(1, 2), ApMask.Of(4), ApMask.Of(5));
        Assert.True(apcb.Contains(Apqn.Of(2, 4)));
        Assert.False(apcb.Contains(Apqn.Of(2, 5)));
        Assert.False(apcb.Contains(Apqn.Of(3, 4)));
    }
}
