using Apvirt.Ap.Architecture;
using Apvirt.Ap.Hardware;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Tests.Hardware;

/// <summary>"Simulated instructions", <c>queue.state</c>, <c>queue.fault</c> and <c>queue.resets</c> of FORMAT.md.</summary>
public sealed class CryptoHardwareTests
{
    private static readonly Apqn Queue = Apqn.Of(1, 4);

    private readonly SimulationRuntime _runtime = new();
    private readonly KernelTask _task;
    private readonly CryptoHardware _hardware;
    private readonly IApInstructions _bus;
    private readonly IApInstructions _driver;
    private readonly IApInstructions _guest;

    public CryptoHardwareTests()
    {
        _task = _runtime.CreateTask("test");
        _hardware = new CryptoHardware(_runtime, new QciInfo(
            ApFeatures.Apxa, 255, 255, ApMask.Of([1, 2, 3]), ApMask.Of([4, 5]), ApMask.Of(4)));
        _hardware.AddAdapter(1, new AdapterType(14, AdapterType.CcaFunctions));
        _hardware.AddAdapter(2, new AdapterType(14, AdapterType.CcaFunctions));
        _hardware.AddAdapter(9, new AdapterType(14, AdapterType.CcaFunctions));
        _bus = _hardware.InstructionsFor(ApIssuer.Bus);
        _driver = _hardware.InstructionsFor(ApIssuer.VfioAp);
        _guest = _hardware.InstructionsFor(ApIssuer.Guest);
    }

    [Theory]
    [InlineData(9, 4)]
    [InlineData(1, 6)]
    [InlineData(3, 4)]
    [InlineData(200, 200)]
    public void AQueueOutsideTheConfigurationIsNotAvailableToAnyInstruction(int apid, int apqi) =>
        AssertAll(Apqn.Of(apid, apqi), ApResponse.NotAvailable);

    [Theory]
    [InlineData(ApResponse.Deconfigured)]
    [InlineData(ApResponse.Checkstopped)]
    public void TheStateOfAQueueIsItsAnswerToEveryInstruction(ApResponse code)
    {
        Assert.True(_hardware.SetQueueCode(Queue, code));
        AssertAll(Queue, code);
        Assert.Equal(ApResponse.Normal, _bus.Tapq(Apqn.Of(1, 5)).Code);
        Assert.True(_hardware.SetQueueCode(Queue, ApResponse.Normal));
        Assert.Equal(ApResponse.Normal, _bus.Tapq(Queue).Code);
    }

    [Fact]
    public void TheStateOfAnAdapterIsThatOfAllItsQueues()
    {
        Assert.True(_hardware.SetConfigured(1, isConfigured: false));
        AssertAll(Queue, ApResponse.Deconfigured);
        AssertAll(Apqn.Of(1, 5), ApResponse.Deconfigured);
        Assert.Equal(ApResponse.Normal, _bus.Tapq(Apqn.Of(2, 4)).Code);
        Assert.True(_hardware.SetConfigured(1, isConfigured: true));
        Assert.True(_hardware.SetCheckstopped(1, isCheckstopped: true));
        AssertAll(Queue, ApResponse.Checkstopped);
        Assert.False(_hardware.SetConfigured(77, isConfigured: true));
    }

    [Fact]
    public void AqicAnswers07ForTheStateThatIsThere()
    {
        Assert.Equal(ApResponse.OtherwiseChanged, Aqic(enable: false).Code);
        Assert.Equal(ApResponse.Normal, Aqic(enable: true).Code);
        Assert.True(_driver.Tapq(Queue).InterruptEnabled);
        Assert.Equal(ApResponse.OtherwiseChanged, Aqic(enable: true).Code);
        Assert.Equal(ApResponse.Normal, Aqic(enable: false).Code);
        Assert.False(_driver.Tapq(Queue).InterruptEnabled);
        Assert.Equal(ApResponse.OtherwiseChanged, Aqic(enable: false).Code);
    }

    [Fact]
    public void AnAcceptedZapqClearsTheInterruptFlagAndARefusedOneDoesNot()
    {
        Aqic(enable: true);
        Inject(ApInstruction.Zapq, isSticky: false, ApResponse.Busy);
        Assert.Equal(ApResponse.Busy, _driver.Zapq(Queue).Code);
        Assert.True(_driver.Tapq(Queue).InterruptEnabled);
        Assert.Equal(ApResponse.Normal, _driver.Zapq(Queue).Code);
        Assert.False(_driver.Tapq(Queue).InterruptEnabled);
    }

    [Fact]
    public void AQueueThatStopsOrLeavesTheConfigurationComesBackDisarmed()
    {
        foreach (ApResponse code in (ReadOnlySpan<ApResponse>)[ApResponse.Checkstopped, ApResponse.Deconfigured])
        {
            Aqic(enable: true);
            _hardware.SetQueueCode(Queue, code);
            _hardware.SetQueueCode(Queue, ApResponse.Normal);
            Assert.False(_driver.Tapq(Queue).InterruptEnabled);
        }
        Aqic(enable: true);
        QciInfo before = _hardware.Configuration;
        _hardware.Configure(before.Apm, before.Aqm.Without(Queue.Apqi), before.Adm);
        _hardware.Configure(before.Apm, before.Aqm, before.Adm);
        Assert.False(_driver.Tapq(Queue).InterruptEnabled);
    }

    [Fact]
    public void FaultsAreTakenInOrderAndThenTheBaseAnswerIsBack()
    {
        Inject(ApInstruction.Zapq, isSticky: false, ApResponse.Busy, ApResponse.ResetInProgress);
        Assert.Equal(
            [ApResponse.Busy, ApResponse.ResetInProgress, ApResponse.Normal, ApResponse.Normal],
            Enumerable.Range(0, 4).Select(_ => _driver.Zapq(Queue).Code));
    }

    [Fact]
    public void AStickyFaultRepeatsItsLastCodeUntilItIsTakenBack()
    {
        Inject(ApInstruction.Tapq, isSticky: true, ApResponse.Busy, ApResponse.SecretNotUnique);
        Assert.Equal(ApResponse.Busy, _driver.Tapq(Queue).Code);
        for (int i = 0; i < 5; i++)
            Assert.Equal(ApResponse.SecretNotUnique, _driver.Tapq(Queue).Code);
        Inject(ApInstruction.Tapq, isSticky: false, ApResponse.Checkstopped);
        Assert.Equal([ApResponse.Checkstopped, ApResponse.Normal], [_driver.Tapq(Queue).Code, _driver.Tapq(Queue).Code]);
        Inject(ApInstruction.Tapq, isSticky: true, ApResponse.Busy);
        Inject(ApInstruction.Tapq, isSticky: false);
        Assert.Equal(ApResponse.Normal, _driver.Tapq(Queue).Code);
    }

    [Fact]
    public void FaultsConcernOneInstructionOfTheDriverOnOneQueueOnly()
    {
        Inject(ApInstruction.Zapq, isSticky: false, ApResponse.Busy);
        Assert.Equal(ApResponse.Normal, _bus.Zapq(Queue).Code);
        Assert.Equal(ApResponse.Normal, _guest.Zapq(Queue).Code);
        Assert.Equal(ApResponse.Normal, _driver.Tapq(Queue).Code);
        Assert.Equal(ApResponse.Normal, _driver.Zapq(Apqn.Of(1, 5)).Code);
        Assert.Equal(ApResponse.Normal, Aqic(enable: true).Code);
        Assert.Equal(ApResponse.Busy, _driver.Zapq(Queue).Code);
    }

    [Fact]
    public void AFaultReplacesTheStateOfTheQueue()
    {
        _hardware.SetQueueCode(Queue, ApResponse.Deconfigured);
        Inject(ApInstruction.Zapq, isSticky: false, ApResponse.Busy);
        Assert.Equal(ApResponse.Busy, _driver.Zapq(Queue).Code);
        Assert.Equal(ApResponse.Deconfigured, _driver.Zapq(Queue).Code);
    }

    [Theory]
    [InlineData(ApResponse.Normal)]
    [InlineData(ApResponse.Busy)]
    public void AFaultHasNoEffectOnTheInterruptFlag(ApResponse code)
    {
        Inject(ApInstruction.Aqic, isSticky: false, code);
        Assert.Equal(code, Aqic(enable: true).Code);
        Assert.False(_driver.Tapq(Queue).InterruptEnabled);
        Aqic(enable: true);
        Inject(ApInstruction.Zapq, isSticky: false, code);
        Assert.Equal(code, _driver.Zapq(Queue).Code);
        Assert.True(_driver.Tapq(Queue).InterruptEnabled);
    }

    [Fact]
    public void ResetsAreCountedPerIssuerWhileTheQueueIsInTheConfiguration()
    {
        _bus.Zapq(Queue);
        _driver.Zapq(Queue);
        _driver.Zapq(Queue);
        _guest.Zapq(Queue);
        _driver.Rapq(Apqn.Of(2, 4));
        _driver.Zapq(Apqn.Of(1, 6));
        (Apqn apqn, ResetCounts counts) = Assert.Single(_hardware.ResetCounts());
        Assert.Equal((Queue, new ResetCounts(Bus: 1, Driver: 2, Guest: 1)), (apqn, counts));
        _hardware.Configure(ApMask.Of(2), ApMask.Of(4), ApMask.None);
        _driver.Zapq(Queue);
        Assert.Equal(new ResetCounts(1, 2, 1), Assert.Single(_hardware.ResetCounts()).Counts);
        _hardware.ClearResetCounters();
        Assert.Empty(_hardware.ResetCounts());
    }

    [Fact]
    public void ABusyQueueAnswers05ForAWhile()
    {
        Assert.True(_hardware.SetBusy(Queue, TimeSpan.FromMilliseconds(50)));
        Assert.Equal(ApResponse.Busy, _driver.Zapq(Queue).Code);
        Assert.Equal(ApResponse.Busy, _driver.Tapq(Queue).Code);
        Assert.Equal(ApResponse.Busy, Aqic(enable: true).Code);
        _runtime.Advance(TimeSpan.FromMilliseconds(49));
        Assert.Equal(ApResponse.Busy, _driver.Tapq(Queue).Code);
        _runtime.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(ApResponse.Normal, _driver.Tapq(Queue).Code);
    }

    [Fact]
    public void AResetThatTakesTimeShows02UntilItIsDone()
    {
        _hardware.ResetTime = TimeSpan.FromMilliseconds(100);
        Assert.Equal(ApResponse.Normal, _driver.Zapq(Queue).Code);
        Assert.Equal(ApResponse.ResetInProgress, _driver.Tapq(Queue).Code);
        Assert.Equal(ApResponse.ResetInProgress, _driver.Zapq(Queue).Code);
        Assert.Equal(ApResponse.ResetInProgress, Aqic(enable: true).Code);
        Assert.Equal(ApResponse.ResetInProgress, _driver.Nqap(Queue, 1, [1]).Code);
        _runtime.Advance(TimeSpan.FromMilliseconds(99));
        Assert.Equal(ApResponse.ResetInProgress, _driver.Tapq(Queue).Code);
        _runtime.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(ApResponse.Normal, _driver.Tapq(Queue).Code);
        Assert.Equal(ApResponse.Normal, _driver.Rapq(Queue).Code);
        Assert.Equal(ApResponse.ResetInProgress, _driver.Tapq(Queue).Code);
    }

    [Fact]
    public void TapqTellsAboutAQueueEvenWhenItIsDeconfigured()
    {
        _hardware.SetConfigured(1, isConfigured: false);
        Assert.Equal(ApResponse.Deconfigured, _bus.Tapq(Queue, out ApQueueInfo info).Code);
        Assert.Equal((0x92800000u, (byte)14, (byte)7), (info.Functions, info.Type, info.Depth));
    }

    private ApStatus Aqic(bool enable) => Aqic(Queue, enable);

    private ApStatus Aqic(Apqn apqn, bool enable) =>
        _runtime.Drive(_driver.AqicAsync(_task, apqn, new AqicControl(enable, Isc: 6, NotificationByte: 0x1000)));

    private void Inject(ApInstruction instruction, bool isSticky, params ApResponse[] codes) =>
        Assert.True(_hardware.Inject(Queue, instruction, codes, isSticky));

    private void AssertAll(Apqn apqn, ApResponse code)
    {
        Assert.Equal(code, _bus.Tapq(apqn).Code);
        Assert.Equal(code, _driver.Tapq(apqn, out _).Code);
        Assert.Equal(code, _driver.Rapq(apqn).Code);
        Assert.Equal(code, _driver.Zapq(apqn).Code);
        Assert.Equal(code, Aqic(apqn, enable: true).Code);
        Assert.Equal(code, _bus.Nqap(apqn, 1, [0, 1, 0, 0]).Code);
        Assert.Equal(code, _bus.Dqap(apqn, out _, out _).Code);
    }
}
